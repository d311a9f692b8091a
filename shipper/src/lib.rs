//! The shipper: ring, journal, facts and sinks.
#![forbid(unsafe_code)]
