//! The demo house as it stands in `manifest.capnp`: every bundle does what its tools promise.

use serde_json::{Value, json};

use crate::support::{Folder, House, text};

/// A tool, its arguments, whether it is an error, and what its first text contains.
type Case = (&'static str, Value, bool, &'static str);

fn check(house: &House, cases: &[Case]) {
    for (tool, arguments, is_error, expected) in cases {
        let result = house.call(tool, arguments.clone());
        assert_eq!(result["isError"] == true, *is_error, "{tool} {arguments}: {result}");
        assert!(text(&result).contains(expected), "{tool} {arguments}: {result}");
    }
}

#[test]
fn the_demo_house_is_right_and_answers() {
    let folder = Folder::demo();
    let ran = folder.run(&["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let house = House::in_folder(folder);
    calc(&house);
    time(&house);
    texts(&house);
    page(&house);
    table(&house);
    resources(&house);
}

fn calc(house: &House) {
    check(
        house,
        &[
            ("calc_evaluate", json!({"expression": "1/3 + 1/6 to fraction"}), false, "1/2"),
            ("calc_evaluate", json!({"expression": "0.1 + 0.2 == 0.3"}), false, "true"),
            ("calc_convert", json!({"quantity": "65 mph", "to": "m/s"}), false, "29.0576 m / s"),
            ("calc_bases", json!({"number": "0xff", "base": 36}), false, "base 36: 73"),
            ("calc_evaluate", json!({"expression": "5 usd to eur"}), true, "exchange rates are not known here"),
            ("calc_evaluate", json!({"expression": "10^10^10"}), true, "stopped after"),
        ],
    );
}

fn time(house: &House) {
    let tokyo = json!({"time": "2024-06-01T12:00", "zone": "Europe/London", "to": ["Asia/Tokyo"]});
    let converted = house.call("time_convert", tokyo);
    assert_eq!(converted["structuredContent"]["times"][0]["time"], "2024-06-01T20:00:00+09:00[Asia/Tokyo]");
    let added = house.call("time_add", json!({"time": "2024-01-31", "duration": "1 month"}));
    assert_eq!(added["structuredContent"]["time"], "2024-02-29T00:00:00+00:00[UTC]");
    let format = json!({"time": "27/10/2024", "input_pattern": "%d/%m/%Y", "pattern": "%A, %F"});
    check(
        house,
        &[
            ("time_convert", json!({"time": "2024-10-27T02:30", "zone": "Europe/Rome"}), true, "happens twice"),
            ("time_difference", json!({"from": "1990-05-17", "to": "2024-01-01"}), false, "33 years 7 months 15 days"),
            ("time_format", format, false, "Sunday, 2024-10-27"),
            ("time_add", json!({"time": "9999-12-31", "duration": "9999 years"}), true, ""),
        ],
    );
}

fn texts(house: &House) {
    let search = json!({"text": "a\nb error\nc", "pattern": "err", "context": 1});
    let replace = json!({"text": "2024-10-27", "pattern": "(\\d+)-(\\d+)-(\\d+)", "replacement": "$3.$2.$1"});
    let foxes = json!({"old": "The quick brown fox.", "new": "The slow brown fox."});
    check(
        house,
        &[
            ("text_search", search, false, "1- a\n2: b error\n3- c"),
            ("text_replace", replace, false, "1 replacement"),
            ("text_compare", foxes, false, "similarity 0.750"),
            ("text_diff", json!({"old": "a\nb\n", "new": "a\nc\n"}), false, "-b\n+c"),
            ("text_search", json!({"text": "a", "pattern": "("}), true, "unclosed group"),
        ],
    );
}

fn page(house: &House) {
    let html = "<h1>Hi</h1><p>a <b>b</b> <a href=\"/x\">c</a></p><script>evil()</script>";
    let article = "<title>T</title><nav>menu</nav><article><p>Body</p></article>";
    check(
        house,
        &[
            ("page_to_markdown", json!({"html": html}), false, "# Hi\n\na **b** [c](/x)"),
            ("page_article", json!({"html": article}), false, "Title: T\n\nBody"),
            ("page_outline", json!({"text": "# A\n\ntext\n\n## B\n"}), false, "5: ## B"),
            ("page_to_html", json!({"markdown": "*a* <script>x</script>"}), false, "&lt;script&gt;"),
        ],
    );
}

fn table(house: &House) {
    let sales = json!([{"name": "sales", "data": "city,amount\nRome,3\nBari,4.5\nRome,1"}]);
    let sql = "SELECT city, SUM(amount) AS total FROM sales GROUP BY city ORDER BY total DESC";
    let result = house.call("table_query", json!({"tables": sales, "sql": sql}));
    assert_eq!(result["structuredContent"]["rows"], json!([["Bari", 4.5], ["Rome", 4]]));
    let one = json!([{"name": "t", "data": "a\n1"}]);
    let lines = json!([{"name": "t", "data": "{\"a\":1,\"b\":\"x\"}\n{\"a\":2}"}]);
    check(
        house,
        &[
            ("table_query", json!({"tables": one, "sql": "DROP TABLE t"}), true, "one SELECT"),
            ("table_query", json!({"tables": one, "sql": "SELECT b FROM t"}), true, "b"),
            ("table_query", json!({"tables": lines, "sql": "SELECT * FROM t", "rows_max": 1}), false, "1 of 2 rows"),
            ("table_describe", json!({"tables": one}), false, "INTEGER"),
        ],
    );
}

fn resources(house: &House) {
    let read = |uri: &str| house.modern("resources/read", json!({"uri": uri})).last()["result"]["contents"][0].clone();
    assert!(read("time://zones")["text"].as_str().unwrap().contains("Europe/Rome"));
    assert!(read("time://zones/Europe/Rome")["text"].as_str().unwrap().contains('+'));
    for uri in ["calc://syntax", "calc://units", "table://sql", "hello://about"] {
        assert!(read(uri)["text"].as_str().unwrap().len() > 100, "{uri}");
    }
    let zones = json!({"ref": {"type": "ref/resource", "uri": "time://zones/{+zone}"},
        "argument": {"name": "zone", "value": "europe/r"}});
    let found = house.modern("completion/complete", zones).last()["result"]["completion"]["values"].clone();
    assert!(found.as_array().unwrap().contains(&json!("Europe/Rome")), "{found}");
    let review = json!({"name": "text_review_changes", "arguments": {"old": "a\n", "new": "b\n"}});
    let prompt = house.modern("prompts/get", review).last()["result"].clone();
    assert!(prompt["messages"][0]["content"]["text"].as_str().unwrap().contains("+b"), "{prompt}");
}
