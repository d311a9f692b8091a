//! The corpus is the yardstick the targets were set for.

use super::*;

fn near(name: &str, got: f64, want: f64) {
    assert!((got / want - 1.0).abs() < 0.02, "{name}: {got:.0}, expected {want:.0} ± 2 %");
}

/// The sizes the targets were set for; another corpus would make another yardstick.
#[test]
fn sizes_are_the_yardstick() {
    for (name, requests, events, json, form, raw) in [
        ("a", 2000, 1.0, 1121.0, 1546.0, 1940.0),
        ("b", 200, 50.0, 1084.0, 5298.0, 5512.0),
        ("c", 2000, 1.0, 1115.0, 1523.0, 1819.0),
        ("d", 3000, 2.74, 1095.0, 1649.0, 1989.0),
    ] {
        let case = case(name, 1_760_000_000_000);
        assert_eq!(case.samples.len(), requests);
        let (got_json, got_form, got_raw) = case.sizes();
        near(&format!("{name} events"), case.events_per_request(), events);
        near(&format!("{name} json"), got_json, json);
        near(&format!("{name} form"), got_form, form);
        near(&format!("{name} raw"), got_raw, raw);
    }
}

#[test]
fn is_the_same_every_time() {
    let (one, two) = (case("d", 1_760_000_000_000), case("d", 1_760_000_000_000));
    assert!(one.samples.iter().zip(&two.samples).all(|(a, b)| a.raw == b.raw));
    let damaged = one.samples.iter().filter(|s| s.damage.is_some()).count();
    assert!((20..=45).contains(&damaged), "{damaged} of 3000 damaged, expected about 1 %");
}
