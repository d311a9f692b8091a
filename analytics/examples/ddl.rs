//! Prints the schema: `cargo run -p analytics --example ddl [DATABASE [CLUSTER]]`.

use analytics::{Form, MIGRATIONS, prepare};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_else(|| "tusk".to_owned());
    let cluster = arguments.next();
    let form = Form { database: &database, zone: "UTC", login: None, cluster: cluster.as_deref() };
    let statements = prepare(&form).into_iter();
    for statement in statements.chain(MIGRATIONS.iter().flat_map(|m| m.statements(&form))) {
        println!("{statement};\n");
    }
}
