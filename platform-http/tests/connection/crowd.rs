//! What happens when there are more connections than files.

use std::{
    env,
    fs::File,
    io::{Read as _, Seek as _},
    process::Command,
    time::Duration,
};

use platform_http::server::{Limits, Served, Times};

use crate::ground::{GRACE, Ground};

/// The limit of open files belongs to a process, so the test runs itself again in one that has few.
#[test]
fn without_files_left_the_server_waits_and_goes_on() {
    if env::var_os(FEW_FILES).is_some() {
        return runtime().block_on(crowd());
    }
    let test = env::current_exe().unwrap();
    let script = format!("ulimit -n 64 && exec \"$0\" --exact --nocapture {TEST}");
    let run = Command::new("sh").args(["-c", &script]).arg(test).env(FEW_FILES, "1").output().unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

/// Client and server share the 64 files: the clients take all but a few, and those few are not enough.
async fn crowd() {
    let ground = Ground::with(Limits::default(), Times::default(), GRACE).await;
    let mut clock = File::open("/proc/self/stat").expect("a file is left for this");
    let mut wires = Vec::new();
    while let Ok(socket) = tokio::net::TcpStream::connect(ground.address).await {
        wires.push(crate::ground::Wire(socket));
        tokio::task::yield_now().await;
    }
    assert!(wires.len() > 20, "files ran out with {} clients", wires.len());
    let used = cpu_ticks(&mut clock);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(cpu_ticks(&mut clock) - used < 20, "it waits, and does not turn in a circle");

    // Half of them leave; the others, of whom some were never accepted, are served.
    let stay = wires.split_off(wires.len() / 2);
    drop(wires);
    for mut wire in stay {
        assert!(wire.get("/").await.ends_with("hello"));
    }
    assert_eq!(ground.drain().await, Served::default());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs four files")
}

/// User and system time of this process in hundredths of a second.
fn cpu_ticks(clock: &mut File) -> u64 {
    let mut stat = String::new();
    clock.rewind().expect("it is a file");
    clock.read_to_string(&mut stat).expect("it is text");
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    fields[12..14].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

const FEW_FILES: &str = "PLATFORM_TEST_FEW_FILES";
const TEST: &str = "crowd::without_files_left_the_server_waits_and_goes_on";
