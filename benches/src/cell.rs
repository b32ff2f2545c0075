//! A cell without a face: the time from a permit to a result in this process, on one thread and on two, and the
//! same through the whole house (find, decide, check, line, cell, record).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use certosa_house::{Ask, Call, Compilers, House, Way};
use certosa_isolate::{Code, Image, Machine, Pace, Work, compile};
use certosa_manifest::{Manifest, Plan, Sources};
use certosa_mcp::{Answer, Face, Message};
use certosa_model::{CompileLimits, Kind, Subject, ToolName};
use certosa_policy::{Caller, Permit, Target, decide};
use certosa_store::StateFolder;
use certosa_syscall::Hearing;
use certosa_syscall::guest::{Askable, Call as ToolCall, Outcome, Task};
use hyper::HeaderMap;

use crate::Done;
use crate::call::{Call as Request, FIRST_ID};
use crate::floor::echo;
use crate::peers::hello;
use crate::place::{CELL_STATE, Place};
use crate::threads::{report, runtime};

const ARGUMENTS: &str = r#"{"text":"the text of a call"}"#;

pub(crate) fn run(place: &Place) -> Done<()> {
    let program = place.certosa();
    let sources =
        Sources::read(&place.manifest("cell.capnp", &format!("bundles = [{}]", hello("bundles/hello.wasm", "once")))?)?;
    let manifest = sources.compile(&program, "internal-compile-manifest")?;
    floor()?;
    cells(&Plan::of(&manifest)?, &program)?;
    house(&manifest, Plan::of(&manifest)?, program, &place.target.join(CELL_STATE))
}

/// The same answer by native code without HTTP: what a second thread is worth on this machine.
fn floor() -> Done<()> {
    let request = String::from_utf8(Request::modern("hello_echo").request("127.0.0.1", FIRST_ID))?;
    let (_, body) = request.split_once("\r\n\r\n").ok_or("no body")?;
    report("floor", |_| echo(body.as_bytes()).is_ok_and(|answer| answer.ends_with("\"}]}}")))
}

fn cells(plan: &Plan, program: &Path) -> Done<()> {
    let component = std::fs::read(program.with_file_name("../bundles/hello.wasm"))?;
    let code = compile(&component, program, "internal-compile-component", CompileLimits::default())?;
    let bundle = plan.bundles.first().ok_or("no bundle")?;
    let machine = Machine::new(plan.limits.cells_max, [&bundle.limits])?;
    let image = Arc::new(machine.image(Code::Bytes(&code), bundle.limits.stack_bytes_max)?);
    let caller = Caller::anonymous_loopback();
    let subject = Subject::of_item(&bundle.name, &ToolName::new("echo")?);
    let route = plan.routes.first().ok_or("no route")?;
    let permit = decide(plan, &caller, &Target { route, kind: Kind::Tool, subject: &subject })?;
    let call = || one(&machine, &image, &permit, bundle);
    report("cell", |runtime| runtime.block_on(call()))
}

async fn one(machine: &Machine, image: &Arc<Image>, permit: &Permit<'_>, plan: &certosa_manifest::BundlePlan) -> bool {
    let task = Task::Call(ToolCall {
        name: "echo".to_owned(),
        arguments: ARGUMENTS.to_owned(),
        answers: Vec::new(),
        state: None,
        askable: Askable::empty(),
    });
    let (limits, hearing, pace) = (plan.limits, Hearing::default(), &Pace::default());
    let end = machine.call(image, permit, Work { task, limits, terms: None, hearing, errand: None, pace }, ()).await;
    matches!(end.result, Ok(Outcome::Tool(_)))
}

fn house(manifest: &Manifest, plan: Plan, program: PathBuf, state: &Path) -> Done<()> {
    let state = StateFolder::open(state)?;
    let compilers =
        Compilers { program, task: "internal-compile-component", describe_task: "internal-describe-component" };
    let house = Arc::new(runtime()?.block_on(House::open(manifest, plan, &state, &compilers, None, &mut |_| ()))?);
    face(&house)?;
    let caller = Caller::anonymous_loopback();
    let listings = house.listings();
    let call = async || {
        let call = Call {
            way: Way::Http,
            caller: &caller,
            route: house.route("/mcp").ok_or(())?.view(&listings),
            ask: Ask::Tool { name: "hello_echo", arguments: ARGUMENTS },
            answers: Vec::new(),
            state: None,
            askable: Askable::empty(),
            hearing: Hearing::default(),
            trace: None,
        };
        house.call(call).await.map_err(drop)?.into_inner().result.map_err(drop)
    };
    report("house", |runtime| runtime.block_on(call()).is_ok())?;
    Ok(house.close()?)
}

fn face(house: &Arc<House>) -> Done<()> {
    let face = Arc::new(Face::new(Arc::clone(house))?);
    let caller = Arc::new(Caller::anonymous_loopback());
    let request = String::from_utf8(Request::modern("hello_echo").request("127.0.0.1", FIRST_ID))?;
    let (head, body) = request.split_once("\r\n\r\n").ok_or("no body")?;
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = lines.map(|(name, value)| Ok((name.parse()?, value.parse()?))).collect::<Done<HeaderMap>>()?;
    let body = Bytes::from(body.to_owned());
    let call = async || {
        let (caller, headers, body) = (Arc::clone(&caller), headers.clone(), body.clone());
        let message = Message { caller, way: Way::Http, route: "/mcp".into(), headers, body };
        let (_, answer) = Arc::clone(&face).exchange(message).step().await;
        matches!(answer, Some(Answer::Reply { body, .. }) if body.ends_with(b"\"}]}}"))
    };
    report("face", |runtime| runtime.block_on(call()))
}
