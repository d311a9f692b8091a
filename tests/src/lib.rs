//! Harness of the end-to-end tests: starts real nginx, real shipper, real SDKs.
