use super::*;

fn event(text: &str) -> Result<(String, Vec<(String, String)>), Problem> {
    let mut values = Values::default();
    condition(text, Scope::Event, &mut values).map(|sql| (sql, values.0))
}

#[test]
fn words_become_our_own_and_literals_parameters() {
    let (sql, values) =
        event("event = 'Pay' AND (num.amount >= 99.5 or $city in ('北京', \"上海\"))").unwrap();
    assert_eq!(
        sql,
        "((event = {v1:String}) AND (((mapContains(num, {v2:String}) AND num[{v2:String}] >= {v3:Float64}) OR \
         (city != '' AND toString(city) IN ({v4:String}, {v5:String})))))"
    );
    assert_eq!(values[1].1, "amount");
    assert_eq!(values[2].1, "99.5");
    assert!(event("not contains(str.name, 'x') and num.a + 1 > -2 * num.b").is_ok());
    assert!(event("str.名字 != '张三'").unwrap().0.starts_with("(NOT (mapContains(str, "));
}

#[test]
fn what_is_no_expression_is_refused() {
    for wrong in [
        "",
        "1",
        "event",
        "event =",
        "= 1",
        "(event = 'a'",
        "event = 'a') OR 1=1",
        "event = 'a' OR 1",
        "event = 'a",
        "event = 'a'; DROP TABLE events",
        "event = 'a' -- ",
        "event = 'a' UNION SELECT 1",
        "sleep(3) = 1",
        "url('http://x') = 'a'",
        "file('/etc/passwd') = 'a'",
        "event IN (SELECT event)",
        "user_id = 1",
        "password = 'a'",
        "system.users = 1",
        "num. > 1",
        "event = `a`",
        "event = {x:String}",
        "count() > 1",
        "dictGet('a', 'b', 1) = 1",
        "num.a @ 1",
        "event = 'a' and not",
        "throwIf(1) = 1",
    ] {
        assert!(event(wrong).is_err(), "{wrong}");
    }
    assert!(event(&"(".repeat(100)).is_err());
    assert!(event(&"not ".repeat(400)).is_err());
    assert!(event(&format!("event = '{}'", "x".repeat(3_000))).is_err());
}

#[test]
fn nothing_written_is_left_in_the_sql() {
    for text in ["event = 'x\\'' ", "str.k' = 1", "event = \"x' OR 1=1 --\"", "str.a.b = 'q9'"] {
        if let Ok((sql, _)) = event(text) {
            assert!(!sql.contains("q9") && !sql.contains("--") && !sql.contains("1=1"), "{sql}");
        }
    }
}

#[test]
fn measures_count_only_their_events() {
    let mut values = Values::default();
    let sql =
        value("sum(num.amount) / count()", Scope::Group("(event = 'p')"), &mut values).unwrap();
    assert_eq!(
        sql,
        "(sumIf(num[{v1:String}], mapContains(num, {v1:String}) AND (event = 'p')) / countIf((event = 'p')))"
    );
    assert!(value("num.amount", Scope::Group("1"), &mut values).is_err());
    assert!(value("sum(count())", Scope::Group("1"), &mut values).is_err());
    let names = ["days".to_owned()];
    assert_eq!(
        condition("days >= 4", Scope::Measures(&names), &mut Values::default()).unwrap(),
        "(m1 >= {v1:Float64})"
    );
    assert!(condition("m1 >= 4", Scope::Measures(&names), &mut Values::default()).is_err());
}
