//! Under which address do others call?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use platform_core::{Error, Result};

use crate::endpoint::{ip_or_address, is_callable};

/// The address in the record: what is set, else where we listen; `0.0.0.0` is nowhere, so the POD_IP stands in
/// for it, else this machine, where the directory registry is anyway.
pub(super) fn address(advertise: &str, listen: SocketAddr, pod: Option<&str>) -> Result<SocketAddr> {
    if advertise.is_empty() {
        let pod = pod.filter(|_| listen.ip().is_unspecified()).and_then(|pod| pod.parse::<IpAddr>().ok());
        return Ok(match pod {
            Some(ip) => SocketAddr::new(ip, listen.port()),
            None if listen.ip().is_unspecified() => {
                SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port())
            }
            None => listen,
        });
    }
    let address = ip_or_address(advertise, listen.port());
    address.filter(|address| is_callable(*address)).ok_or_else(|| {
        Error::config(format!(
            "discovery.register.advertise = \"{advertise}\" is no address that others can call; use IP or IP:PORT"
        ))
    })
}

/// Where the operators look: the same machine, if their listener too is open to all.
pub(super) fn beside(admin: SocketAddr, address: SocketAddr) -> SocketAddr {
    if admin.ip().is_unspecified() { SocketAddr::new(address.ip(), admin.port()) } else { admin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_one_that_others_can_call() {
        let table = [
            ("", "127.0.0.1:80", None, "127.0.0.1:80"),
            ("", "10.0.0.7:80", Some("10.9.9.9"), "10.0.0.7:80"),
            ("", "0.0.0.0:80", None, "127.0.0.1:80"),
            ("", "0.0.0.0:80", Some("10.9.9.9"), "10.9.9.9:80"),
            ("", "[::]:80", Some("not an address"), "127.0.0.1:80"),
            ("10.1.1.1", "0.0.0.0:80", Some("10.9.9.9"), "10.1.1.1:80"),
            ("10.1.1.1:81", "0.0.0.0:80", None, "10.1.1.1:81"),
            ("::1", "0.0.0.0:80", None, "[::1]:80"),
        ];
        for (advertise, listen, pod, wanted) in table {
            let got = address(advertise, listen.parse().unwrap(), pod).unwrap();
            assert_eq!(got, wanted.parse().unwrap(), "{advertise:?} {listen} {pod:?}");
        }
    }

    #[test]
    fn an_address_that_nobody_can_call_is_refused() {
        for advertise in ["myhost:80", "0.0.0.0", "10.1.1.1:0", "10.1.1.1:"] {
            let error = address(advertise, "0.0.0.0:80".parse().unwrap(), None).unwrap_err();
            assert!(error.detail().contains("discovery.register.advertise"), "{error}");
        }
    }

    #[test]
    fn operators_look_on_the_same_machine() {
        let at = |admin: &str| beside(admin.parse().unwrap(), "10.1.1.1:80".parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:9464"), "10.1.1.1:9464");
        assert_eq!(at("127.0.0.1:9464"), "127.0.0.1:9464");
    }
}
