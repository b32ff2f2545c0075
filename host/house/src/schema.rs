//! JSON Schema 2020-12 as bundles write it, and values held against it.

mod budget;
mod places;

use std::collections::BTreeSet;
use std::time::Duration;

use jsonschema::{Draft, PatternOptions, Validator};
use regex_automata::nfa::thompson;
use serde_json::Value;

use self::budget::{Budget, Counted, GivenUp, Looked, within};

/// A JSON Schema 2020-12, compiled once. It refers to nothing outside of itself, and what a check takes is bounded:
/// a schema comes from a bundle and is run in the host.
pub struct Schema {
    validator: Validator<Counted>,
    /// Its regular expressions, and the states of all of them.
    pub(crate) patterns: usize,
    pub(crate) states: u64,
    /// What the rest of it takes, roughly and rather more than less.
    pub(crate) bytes: usize,
    steps_of_text: u64,
    steps_of_name: u64,
    steps_of_number: u64,
}

/// Why a value does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// It is not what the schema describes.
    Wrong(String),
    /// To find out would take more time than there is.
    Long,
    /// It is nested more deeply than it can be held against this schema.
    Deep,
    /// The library could not say.
    Unknown,
}

const ERROR_CHARS_MAX: usize = 300;

/// Different regular expressions in one schema.
const PATTERNS_MAX: usize = 100;
/// The text of one, which is read again for each escape in it that ECMAScript has and Rust has not.
const PATTERN_BYTES_MAX: usize = 1 << 10;
/// One that is compiled: `\p{L}{1000}` has twelve letters and takes 10 MiB.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// What one counts that is larger: to find that out took as long.
const STATES_OF_LARGE: u64 = (PATTERN_SIZE_MAX / 40) as u64;

/// What one keeps of texts that it was held against.
const PATTERN_CACHE_MAX: usize = 64 << 10;

/// States of all the regular expressions that a bundle's schemas have: each takes about 40 bytes for as long as the
/// bundle is there.
pub(crate) const STATES_MAX: u64 = 500_000;

/// What a byte of a schema takes, as a text or a value in it.
const TEXT_BYTES: usize = 24;

/// A step of a check takes less than this.
const STEP: Duration = Duration::from_nanos(20);
/// To say what is wrong with a value takes memory for each alternative that it fits none of.
const STEPS_TO_EXPLAIN_MAX: u64 = 200_000;
/// For each state of a regular expression, and 64 bytes of a text. Mostly it takes much less, but some texts make an
/// expression be in all of its states at once, and then each takes 2 ns for a byte.
const STEPS_OF_STATE: u64 = 7;
/// For a number that `multipleOf` makes a fraction of.
const STEPS_OF_MULTIPLE: u64 = 300;

impl Schema {
    /// Compiles the schema of arguments or of a result: its root must describe an object.
    pub fn of_object(text: &str) -> Result<Self, String> {
        let mut schema = certosa_model::parse_json(text).map_err(|error| format!("is not JSON: {error}"))?;
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err("has no \"type\": \"object\" at its root".to_owned());
        }
        let states = states(&schema)?;
        let seen = places::make_look(&mut schema)?;
        let expressions = PatternOptions::regex().size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_CACHE_MAX);
        let options = jsonschema::options_for::<Counted>().with_draft(Draft::Draft202012);
        let built = options.with_pattern_options(expressions).build(&schema);
        let validator =
            built.map_err(|error| format!("is not a usable JSON Schema: {}", shorten(&error.to_string())))?;
        let steps = |states: u64| states.saturating_mul(STEPS_OF_STATE);
        let (most, all) = (states.iter().copied().max().unwrap_or_default(), states.iter().sum());
        Ok(Self {
            validator,
            patterns: states.len(),
            states: all,
            bytes: seen.bytes + text.len() * TEXT_BYTES,
            steps_of_text: steps(most),
            steps_of_name: steps(all),
            steps_of_number: if seen.has_multiples { STEPS_OF_MULTIPLE } else { 1 },
        })
    }

    /// What is wrong with `value`; nothing, mostly. It is found out in less than `time` or not at all.
    pub fn check(&self, value: &Value, time: Duration) -> Result<(), Misfit> {
        let budget = |steps, steps_of_look| Budget {
            steps,
            steps_of_look,
            steps_of_number: self.steps_of_number,
            steps_of_text: self.steps_of_text,
            steps_of_name: self.steps_of_name,
        };
        let steps = u64::try_from(time.as_nanos() / STEP.as_nanos()).unwrap_or(u64::MAX);
        if within(budget(steps, 1), || self.validator.is_valid(Looked(value)))? {
            return Ok(());
        }
        // Whatever is wrong is remembered with its place.
        let steps_of_look = (longest_place(value) / PLACE_BYTES) as u64 + 1;
        let explained = within(budget(steps.min(STEPS_TO_EXPLAIN_MAX), steps_of_look), || self.explain(value));
        // Without any explanation it is as wrong.
        Err(Misfit::Wrong(explained.unwrap_or_else(|_| UNEXPLAINED.to_owned())))
    }

    fn explain(&self, value: &Value) -> String {
        let Err(error) = self.validator.validate(Looked(value)) else { return UNEXPLAINED.to_owned() };
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { String::new() } else { format!("at {place}: ") };
        format!("{}{}", shorten(&place), shorten(&error.masked_with("the value").to_string()))
    }
}

/// As many bytes of a place as what is wrong takes besides.
const PLACE_BYTES: usize = 256;

/// The bytes of names on the way to what stands deepest in a value.
fn longest_place(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(longest_place).max().unwrap_or_default() + 8,
        Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + longest_place(value)).max().unwrap_or_default()
        }
        _ => 0,
    }
}

const UNEXPLAINED: &str = "the value does not fit the schema, and where would take too long to say";

impl From<GivenUp> for Misfit {
    fn from(given_up: GivenUp) -> Self {
        match given_up {
            GivenUp::Steps => Self::Long,
            GivenUp::Stack => Self::Deep,
            GivenUp::Broken => Self::Unknown,
        }
    }
}

/// The states of each regular expression in a schema, and of what looks like one.
fn states(schema: &Value) -> Result<Vec<u64>, String> {
    let patterns = patterns(schema);
    if patterns.len() > PATTERNS_MAX {
        return Err(format!("has {} regular expressions, and at most {PATTERNS_MAX} are allowed", patterns.len()));
    }
    if let Some(long) = patterns.iter().find(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
        return Err(format!("has a regular expression of {} bytes, past {PATTERN_BYTES_MAX}", long.len()));
    }
    let size_max = thompson::Config::new().nfa_size_limit(Some(PATTERN_SIZE_MAX));
    let mut compiler = thompson::Compiler::new();
    compiler.configure(size_max);
    let (mut states, mut all) = (Vec::new(), 0);
    for pattern in patterns {
        // What is no regular expression, the library refuses with a reason, if it has to be one at all.
        let Ok(expression) = jsonschema_regex::to_rust_regex(pattern) else { continue };
        let compiled = match compiler.build(&expression) {
            Ok(compiled) => compiled.states().len() as u64,
            Err(error) if error.size_limit().is_some() => STATES_OF_LARGE,
            Err(_) => continue,
        };
        states.push(compiled);
        all += compiled;
        if all > STATES_MAX {
            return Err(format!("has regular expressions with more than {STATES_MAX} states"));
        }
    }
    Ok(states)
}

fn patterns(schema: &Value) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut rest = vec![schema];
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(members) => {
                found.extend(members.get("pattern").and_then(Value::as_str));
                let named = members.get("patternProperties").and_then(Value::as_object);
                found.extend(named.into_iter().flat_map(|named| named.keys().map(String::as_str)));
                rest.extend(members.values());
            }
            Value::Array(items) => rest.extend(items),
            _ => {}
        }
    }
    found
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use serde_json::json;

    const TIME: Duration = Duration::from_secs(2);
    /// As schemas of typed components have it.
    const BASE64: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

    fn check(schema: &str, value: &Value) -> Result<(), Misfit> {
        Schema::of_object(schema).unwrap().check(value, TIME)
    }

    #[test]
    fn errors_name_the_place() {
        let text = r#"{"type":"object","properties":{"a":{"type":"integer","maximum":3}},"required":["b"]}"#;
        assert_eq!(check(text, &json!({"a": 3, "b": 0})), Ok(()));
        let Err(Misfit::Wrong(error)) = check(text, &json!({"a": 4, "b": 0})) else { panic!("it does not fit") };
        assert!(error.starts_with("at /a: ") && error.contains("maximum of 3"), "{error}");
        let Err(Misfit::Wrong(error)) = check(text, &json!({})) else { panic!("it does not fit") };
        assert!(error.contains("\"b\""), "{error}");
    }

    #[test]
    fn unusable_schemas_are_refused() {
        for text in [
            "{",
            "true",
            r#"{"type":"string"}"#,
            r#"{"type":"object","properties":{"a":{"type":"nothing"}}}"#,
            r#"{"type":"object","$ref":"https://example.com/schema"}"#,
            r#"{"type":"object","$ref":"file:///etc/passwd"}"#,
            r#"{"type":"object","properties":{"a":{"pattern":"("}}}"#,
            r##"{"type":"object","$ref":"#/x/a","x":{"a":{}}}"##,
            r##"{"type":"object","$ref":"#%2Fx/a","x":{"a":{}}}"##,
            r#"{"type":"object","properties":{"a":{"$id":"a","$schema":"http://json-schema.org/draft-07/schema#"}}}"#,
        ] {
            assert!(Schema::of_object(text).is_err(), "{text}");
        }
    }

    #[test]
    fn references_to_schemas_are_followed() {
        for reference in
            ["#/$defs/a", "#/%24defs/a", "#/properties/b/items", "#/allOf/0/properties/c", "#here", "other"]
        {
            let schema = json!({
                "type": "object",
                "properties": {"a": {"$ref": reference}, "b": {"items": {"type": "string"}}},
                "allOf": [{"properties": {"c": {"type": "string", "$anchor": "here"}}}],
                "$defs": {"a": {"type": "string"}, "b": {"$id": "other", "type": "string"}},
            });
            assert_eq!(check(&schema.to_string(), &json!({"a": "x"})), Ok(()), "{reference}");
            assert!(check(&schema.to_string(), &json!({"a": 1})).is_err(), "{reference}");
        }
    }

    /// Says how a check ended and sees that it ended in time.
    fn ends(what: &str, schema: &Value, value: &Value) -> Result<(), Misfit> {
        let started = Instant::now();
        let ended = match Schema::of_object(&schema.to_string()) {
            Ok(schema) => schema.check(value, TIME),
            Err(why) => Err(Misfit::Wrong(why)),
        };
        eprintln!("{what}: {:?} {ended:?}", started.elapsed());
        assert!(started.elapsed() < 3 * TIME, "{what}: {:?}", started.elapsed());
        ended
    }

    #[test]
    fn a_pattern_cannot_take_for_ever() {
        let with = |pattern: &str| json!({"type": "object", "properties": {"a": {"pattern": pattern}}});
        let (long, hex) = ("a".repeat(4 << 20), "0123456789abcdef".repeat(1 << 15));
        assert!(ends("nested", &with("^(a+)+$"), &json!({"a": format!("{}!", &long[..50_000])})).is_err());
        assert_eq!(ends("base64", &with(BASE64), &json!({"a": long})), Ok(()));
        assert_eq!(ends("words", &with(r"^\w+$"), &json!({"a": &long[..100_000]})), Ok(()));
        assert_eq!(ends("hex", &with("^[0-9a-f]*$"), &json!({"a": hex})), Ok(()));
        // In all of its thousand states at once, and too large for a table of what may follow what.
        let mut random = 1_u64;
        let mut letter = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if random >> 63 == 0 { 'a' } else { 'b' }
        };
        let noise: String = (0..4 << 20).map(|_| letter()).collect();
        let many = with("[ab]*a[ab]{1000}c");
        assert_eq!(ends("many states", &many, &json!({"a": noise})), Err(Misfit::Long));
        assert!(matches!(ends("few bytes", &many, &json!({"a": &noise[..10_000]})), Err(Misfit::Wrong(_))));
        let names = json!({"type": "object", "patternProperties": {"[ab]*a[ab]{1000}c": {}}});
        assert_eq!(ends("a name", &names, &json!({ noise: 1 })), Err(Misfit::Long));
    }

    #[test]
    fn a_pattern_cannot_be_large() {
        let schema = |pattern: &str| json!({"type": "object", "properties": {"a": {"pattern": pattern}}}).to_string();
        for good in ["^[a-z0-9-]{1,253}$", r"^\p{L}{1,10}$", r"^[\w.+-]{1,64}@[\w-]+(\.[\w-]+){1,8}$", r"^\d{4}-\d\d$"]
        {
            assert!(Schema::of_object(&schema(good)).is_ok(), "{good}");
        }
        for bad in [r"\p{L}{99}{9}", "(a{1000}){1000}", &r"\cA".repeat(400), &"(?i:\\p{L})".repeat(90)] {
            let started = Instant::now();
            assert!(Schema::of_object(&schema(bad)).is_err(), "{bad}");
            assert!(started.elapsed() < Duration::from_secs(5), "{bad}: {:?}", started.elapsed());
        }
        // The second is too large even for one.
        for times in [30, 300] {
            let many: Vec<_> = (0..90).map(|n| json!({ "pattern": format!("\\p{{L}}{{{times}}}{n}") })).collect();
            let refused = Schema::of_object(&json!({"type": "object", "prefixItems": many}).to_string()).err();
            assert!(refused.as_ref().is_some_and(|why| why.contains("states")), "{refused:?}");
        }
        let named = |count| {
            let names = (0..count).map(|n| format!(r#""a{n}":{{}}"#)).collect::<Vec<_>>().join(",");
            format!(r#"{{"type":"object","patternProperties":{{{names}}}}}"#)
        };
        assert!(Schema::of_object(&named(PATTERNS_MAX)).is_ok());
        assert!(Schema::of_object(&named(PATTERNS_MAX + 1)).is_err());
        // The same one is one, wherever it stands.
        let same = vec![json!({"pattern": "^a$"}); 1000];
        assert!(Schema::of_object(&json!({"type": "object", "prefixItems": same}).to_string()).is_ok());
    }

    /// `count` definitions, each of which refers to the next as `link` says, and the last is `last`.
    fn chain(count: usize, link: impl Fn(Value) -> Value, last: Value) -> Value {
        let mut schema = json!({"type": "object", "$ref": "#/$defs/r0"});
        for n in 1..count {
            schema["$defs"][format!("r{}", n - 1)] = link(json!({"$ref": format!("#/$defs/r{n}")}));
        }
        schema["$defs"][format!("r{}", count - 1)] = last;
        schema
    }

    /// A value whose innermost is `inside`, in so many objects with one member `a`.
    fn nested(levels: usize, inside: Value) -> Value {
        (0..levels).fold(inside, |inside, _| json!({ "a": inside }))
    }

    #[test]
    fn a_schema_cannot_take_for_ever() {
        let twice = json!({"additionalProperties": {"$ref": "#"}});
        let deep = nested(100, json!(1));
        for way in ["allOf", "anyOf", "oneOf"] {
            assert!(ends(way, &json!({"type": "object", way: [twice, twice]}), &deep).is_err());
            // In place, without any level of the value.
            for last in [json!({}), json!(true), json!(false), json!({"type": "string"}), json!({"minLength": 1})] {
                let schema = chain(60, |next| json!({way: [next, next]}), last.clone());
                let ended = ends(&format!("{way} {last}"), &schema, &json!({}));
                let is_without_end = way == "anyOf" && last == json!(false) || way != "anyOf" && last == json!({});
                assert!(!is_without_end || ended == Err(Misfit::Long), "{ended:?}");
            }
        }
        for way in ["if", "not", "dependentSchemas", "propertyNames"] {
            let link = |next: Value| match way {
                "if" => json!({"if": next, "then": next, "else": next}),
                "not" => json!({"not": {"not": next}, "allOf": [next]}),
                "propertyNames" => json!({"propertyNames": next, "allOf": [next]}),
                _ => json!({"dependentSchemas": {"a": next, "b": next}}),
            };
            let _any = ends(way, &chain(60, link, json!({})), &json!({"a": 1, "b": 2}));
        }
        let misfits = json!({"type": "object", "properties": {"a": {"anyOf": [
            {"type": "array", "items": {"type": "string"}}, {"type": "null"},
        ]}}});
        assert!(ends("misfits", &misfits, &json!({"a": vec![0; 1_400_000]})).is_err());
    }

    #[test]
    fn a_schema_cannot_overflow_the_stack() {
        let plain = |next| next;
        let round = json!({"items": {"$ref": "#/$defs/r0"}, "additionalProperties": {"$ref": "#/$defs/r0"}});
        let deep = nested(120, json!({}));
        let many = ends("4000", &chain(4000, plain, round.clone()), &deep);
        assert!(matches!(&many, Err(Misfit::Wrong(why)) if why.contains("refers to 4000 places")), "{many:?}");
        assert_eq!(ends("500", &chain(TARGETS, plain, round.clone()), &deep), Err(Misfit::Deep));
        assert_eq!(ends("20", &chain(20, plain, round), &deep), Ok(()));
        let all = |next| json!({"allOf": [next], "anyOf": [true, next]});
        let _any = ends("all", &chain(TARGETS, all, json!({})), &deep);
    }

    const TARGETS: usize = 500;

    #[test]
    fn what_is_left_over_cannot_take_for_ever() {
        for keyword in ["unevaluatedProperties", "unevaluatedItems"] {
            for way in ["allOf", "anyOf", "oneOf"] {
                let link = |next: Value| json!({way: [next, next]});
                let mut schema = chain(20, link, json!({"properties": {"a": {}}}));
                schema[keyword] = json!(false);
                let many = ends(&format!("{keyword} {way}"), &schema, &json!({"a": 1}));
                assert!(matches!(&many, Err(Misfit::Wrong(why)) if why.contains("39 references")), "{many:?}");
                let link = |next: Value| json!({way: [next, next], keyword: false});
                let _any = ends(&format!("{keyword} {way} each"), &chain(12, link, json!({})), &json!({"a": 1}));
                let mut schema = chain(12, |next| json!({way: [next, next]}), json!({"properties": {"a": {}}}));
                schema[keyword] = json!(false);
                let _any = ends(&format!("{keyword} {way} once"), &schema, &json!({"a": 1}));
            }
        }
    }

    #[test]
    fn a_schema_cannot_take_much_memory() {
        let names = |count: usize| (0..count).map(|n| (format!("n{n}"), json!({}))).collect::<serde_json::Map<_, _>>();
        let long = "b".repeat(100_000);
        let refused = |what: &str, schema: Value| {
            let why = ends(what, &schema, &json!({}));
            assert!(matches!(&why, Err(Misfit::Wrong(why)) if why.starts_with("has ")), "{what}: {why:?}");
        };
        let items = vec![json!({}); 20_000];
        refused("places", json!({"type": "object", "properties": {&long: {"prefixItems": items}}}));
        refused("ids", json!({"type": "object", "properties": {"a": {"$id": long, "prefixItems": items}}}));
        let nots = (0..60).fold(json!({"enum": vec![0; 10_000]}), |inside, _| json!({ "not": inside }));
        refused("nots", json!({"type": "object", "properties": {"a": nots}}));
        let mut unfolded = chain(8, |next| json!({"allOf": [next, next]}), json!({"properties": names(10_000)}));
        unfolded["unevaluatedProperties"] = json!(false);
        refused("unfolded", unfolded);
        let dynamic = json!({
            "type": "object", "$dynamicRef": "#dyn", "unevaluatedProperties": {"uniqueItems": true},
            "$defs": {"y": {
                "$dynamicAnchor": "dyn", "items": {"else": {"$ref": "#"}, "if": {"type": "object"}},
                "patternProperties": {"^a": {"$ref": "#/$defs/y"}},
            }},
        });
        refused("dynamic", dynamic);
        for good in [
            json!({"type": "object", "properties": names(10_000)}),
            json!({"type": "object", "not": {"required": ["n0"], "properties": names(1_000)}}),
            json!({"type": "object", "allOf": [{"properties": names(1_000)}], "unevaluatedProperties": false}),
        ] {
            assert_eq!(ends("good", &good, &json!({})), Ok(()));
        }
    }

    #[test]
    fn long_names_and_odd_numbers_count() {
        let long = |n: usize| format!("{}{n}", "b".repeat(100_000));
        let many: serde_json::Map<_, _> = (0..15).map(|n| (long(n), json!(n))).collect();
        let twice = |last| chain(40, |next| json!({"allOf": [next, next]}), last);
        for last in [json!({"required": [long(1)]}), json!({"properties": {long(1): {}}})] {
            assert_eq!(ends("members", &twice(last), &json!(many)), Err(Misfit::Long));
        }
        let inside = json!({"properties": {"x": {"uniqueItems": true}}});
        assert_eq!(ends("items", &twice(inside), &json!({"x": [many, 1]})), Err(Misfit::Long));
        let multiple = twice(json!({"properties": {"x": {"multipleOf": 1e-7}}}));
        assert_eq!(ends("multiples", &multiple, &json!({"x": 1.7e308})), Err(Misfit::Long));
        let each = json!({"type": "object", "additionalProperties": {"anyOf": [
            {"items": {"type": "string"}}, {"type": "null"},
        ]}});
        let ended = ends("errors", &each, &json!({ "b".repeat(1_000_000): vec![0; 20_000] }));
        assert_eq!(ended, Err(Misfit::Wrong(UNEXPLAINED.to_owned())));
    }

    #[test]
    fn equal_values_cannot_take_for_ever() {
        let unique = json!({"type": "object", "properties": {"a": {"uniqueItems": true}}});
        let numbers: Vec<u64> = (0..500_000).map(|n| u64::MAX - n).collect();
        assert!(ends("numbers", &unique, &json!({ "a": numbers })).is_err());
        let objects: Vec<_> = (0..200_000).map(|n| json!({"id": n, "name": format!("the {n}th")})).collect();
        assert_eq!(ends("objects", &unique, &json!({ "a": objects })), Ok(()));
        for (items, are_unique) in [
            (json!([1, 1.0]), false),
            (json!([0, -0.0]), false),
            (json!([{"a": 1, "b": 2}, {"b": 2, "a": 1}]), false),
            (json!([[1, 2], [2, 1], {}, [], null, false, 0, ""]), true),
            (json!(["a", "a"]), false),
            (json!([{"a": [1]}, {"a": [1.0]}]), false),
            (json!([18_446_744_073_709_551_615_u64, 18_446_744_073_709_551_614_u64]), true),
        ] {
            assert_eq!(check(&unique.to_string(), &json!({ "a": items })).is_ok(), are_unique, "{items}");
        }
        let large = json!({"x": vec![1; 60_000]});
        let same = chain(60, |next| json!({"allOf": [next, next]}), json!({ "const": large }));
        assert_eq!(ends("const", &same, &large), Err(Misfit::Long));
    }

    #[test]
    fn large_values_of_plain_schemas_pass() {
        let schema = json!({"type": "object", "properties": {"rows": {"type": "array", "items": {
            "type": "object",
            "properties": {
                "id": {"type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32},
                "name": {"type": "string", "maxLength": 100},
                "tag": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["id", "name"],
            "additionalProperties": false,
        }}}});
        let rows: Vec<_> = (0..100_000).map(|n| json!({"id": n, "name": "row", "tag": null})).collect();
        assert_eq!(ends("rows", &schema, &json!({ "rows": rows })), Ok(()));
    }
}
