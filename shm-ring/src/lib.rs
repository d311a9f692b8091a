//! The shared-memory ring between nginx's workers and the shipper.
