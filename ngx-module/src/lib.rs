//! nginx glue for Tusk.
