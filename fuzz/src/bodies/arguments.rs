//! A type, and values for it: what fits comes back as the same, and what is broken is refused by the schema and
//! by the conversion, or by none of them. What is left of an input is tried as the text of a value.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::LazyLock;

use certosa_house::Schema;
use certosa_isolate::fuzzing::{self, Parameters};
use certosa_model::parse_json;
use serde_json::{Value, json};

use super::schema;
use crate::typed::types::{Chance, Definition, Ty, Types, broken};

const VALUES_MAX: usize = 8;
const KEPT_MAX: usize = 200;

struct Function {
    schema: Schema,
    parameters: Parameters,
}

pub fn run(data: &[u8]) {
    let mut chance = Chance::Bytes(VecDeque::from(data.to_owned()));
    let count = chance.below(5);
    let types = Types::random(&mut chance, count);
    let ty = types.ty(&mut chance, 3);
    let function = function(&types, &ty);
    for _ in 0..VALUES_MAX {
        let value = types.value(&mut chance, &ty, 4);
        assert!(fits(&function, &types, &ty, &value), "{value} does not fit {}\n{}", ty.wit(), types.wit());
        fits(&function, &types, &ty, &broken(&mut chance, &value));
        let text = json!({"x": value}).to_string();
        // Of what is too long only the length is right.
        function.parameters.there_and_back(&text, chance.below(64)).expect("it was taken before");
        if !has_more(&chance) {
            return;
        }
    }
    let Chance::Bytes(rest) = chance else { return };
    if let Some(value) = String::from_utf8(rest.into()).ok().and_then(|text| parse_json(&text).ok()) {
        fits(&function, &types, &ty, &value);
    }
}

fn has_more(chance: &Chance) -> bool {
    matches!(chance, Chance::Bytes(bytes) if !bytes.is_empty())
}

/// Whether a value is taken: the schema and the conversion say the same, and then it comes back.
fn fits(function: &Function, types: &Types, ty: &Ty, value: &Value) -> bool {
    let arguments = json!({"x": value});
    let place = || format!("{value} of {}\n{}", ty.wit(), types.wit());
    let taken = function.parameters.there_and_back(&arguments.to_string(), usize::MAX);
    match (function.schema.check(&arguments, super::TIME), taken) {
        (Ok(()), Ok(texts)) => {
            let back = parse_json(&texts[0]).unwrap_or_else(|error| panic!("{error}: {}: {}", texts[0], place()));
            assert_eq!(types.plain(ty, &back), types.plain(ty, value), "{}", place());
            true
        }
        (Err(_), Err(_)) => false,
        (Ok(()), Err(why)) => panic!("the schema takes it, and the machine says {why}: {}", place()),
        (Err(why), Ok(_)) => panic!("the machine takes it, and the schema says {why:?}: {}", place()),
    }
}

/// The function with the one parameter `x`. It is kept, because most inputs differ in their values.
fn function(types: &Types, ty: &Ty) -> Rc<Function> {
    thread_local! {
        static KEPT: RefCell<HashMap<String, Rc<Function>>> = RefCell::default();
    }
    static MACHINE: LazyLock<fuzzing::Types> = LazyLock::new(|| fuzzing::Types::new().expect("a machine"));
    let text = schema::function(types, &format!("f: func(x: {});", ty.wit()));
    if let Some(kept) = KEPT.with_borrow(|kept| kept.get(&text).cloned()) {
        return kept;
    }
    let described = schema::describe(&text);
    let schema = Schema::of_object(&described[0].functions[0].input_schema).expect("a schema");
    let component = wat(types, ty);
    let component = wat::parse_str(&component).unwrap_or_else(|error| panic!("{error}\n{component}"));
    let parameters = MACHINE.of_import(&component, "t:t/i", "f").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let function = Rc::new(Function { schema, parameters });
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(text, Rc::clone(&function));
    });
    function
}

/// A component that imports the same interface: types alone, so nothing has to be compiled.
fn wat(types: &Types, ty: &Ty) -> String {
    let mut text = String::from("(component (type $i (instance\n");
    for (index, definition) in types.0.iter().enumerate() {
        let list = |texts: Vec<String>| texts.join(" ");
        let quoted = |names: &[String]| list(names.iter().map(|name| format!("{name:?}")).collect());
        let defined = match definition {
            Definition::Record(fields) => {
                let field = |(name, ty): &(String, Ty)| format!("(field {name:?} {})", valtype(ty));
                format!("(record {})", list(fields.iter().map(field).collect()))
            }
            Definition::Variant(cases) => {
                let payload = |ty: &Option<Ty>| ty.as_ref().map(valtype).unwrap_or_default();
                let case = |(name, ty): &(String, Option<Ty>)| format!("(case {name:?} {})", payload(ty));
                format!("(variant {})", list(cases.iter().map(case).collect()))
            }
            Definition::Enum(names) => format!("(enum {})", quoted(names)),
            Definition::Flags(names) => format!("(flags {})", quoted(names)),
            Definition::Alias(Ty::Named(other)) => {
                text += &format!("(export \"t{index}\" (type $t{index} (eq $t{other})))\n");
                continue;
            }
            Definition::Alias(ty) => valtype(ty),
        };
        text += &format!("(type $d{index} {defined}) (export \"t{index}\" (type $t{index} (eq $d{index})))\n");
    }
    text + &format!(
        "(type $f (func (param \"x\" {}))) (export \"f\" (func (type $f)))))\n(import \"t:t/i\" (instance (type $i))))",
        valtype(ty)
    )
}

fn valtype(ty: &Ty) -> String {
    let side = |side: &Option<Box<Ty>>| side.as_deref().map(valtype);
    match ty {
        Ty::Bytes => "(list u8)".to_owned(),
        Ty::List(ty) => format!("(list {})", valtype(ty)),
        Ty::Tuple(types) => format!("(tuple {})", types.iter().map(valtype).collect::<Vec<_>>().join(" ")),
        Ty::Option(ty) => format!("(option {})", valtype(ty)),
        Ty::Result(ok, err) => {
            let err = side(err).map(|err| format!("(error {err})")).unwrap_or_default();
            format!("(result {} {err})", side(ok).unwrap_or_default())
        }
        Ty::Named(index) => format!("$t{index}"),
        plain => plain.wit(),
    }
}
