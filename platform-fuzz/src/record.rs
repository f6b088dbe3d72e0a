//! What an instance is said to say about itself, in a registry that others write to.

use platform_discovery::Record;

use crate::assert_one_line;

/// A record of the instance `catalog-1` of `catalog`.
pub fn record(bytes: &[u8]) {
    match Record::read(bytes, "catalog", "catalog-1") {
        Ok(record) => {
            assert_eq!((record.name.as_str(), record.instance.as_str()), ("catalog", "catalog-1"));
            assert!(record.address.port() != 0 && !record.address.ip().is_unspecified(), "{record:?}");
            let again = Record::read(&record.to_json(), "catalog", "catalog-1");
            // What was written with shorter escapes can be longer when we write it.
            if record.to_json().len() <= bytes.len() {
                assert_eq!(again.as_ref(), Ok(&record));
            }
            let endpoint = record.endpoint();
            assert_eq!((endpoint.address, endpoint.weight), (record.address, record.weight));
        }
        Err(told) => {
            assert_one_line(&told);
            // 200 characters of others, each written with six at most where it is none to be seen.
            assert!(told.len() <= 6 * 200 + 64, "{} bytes for a line of a log", told.len());
        }
    }
}
