//! A cell without a face: the time from a permit to a result in this process, on one thread and on two, and the
//! same through the whole house (find, decide, check, line, cell, record).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use certosa_house::{Ask, Call, Compilers, House, Way};
use certosa_isolate::{Code, Image, Machine, Pace, Work, compile};
use certosa_manifest::{Manifest, Plan, Sources};
use certosa_mcp::{Answer, Face, Message};
use certosa_model::{Kind, Subject, ToolName};
use certosa_policy::{Caller, Permit, Target, decide};
use certosa_store::StateFolder;
use certosa_syscall::Hearing;
use certosa_syscall::guest::{Askable, Call as ToolCall, Outcome, Task};
use hyper::HeaderMap;
use tokio::runtime::{Builder, Runtime};

use crate::call::{Call as Request, FIRST_ID};
use crate::peers::hello;
use crate::place::Place;
use crate::{Done, tell};

const ARGUMENTS: &str = r#"{"text":"the text of a call"}"#;
const WARM_UP: usize = 2_000;
const SECONDS: u64 = 2;

pub(crate) fn run(place: &Place) -> Done<()> {
    let program = place.certosa();
    let sources =
        Sources::read(&place.manifest("cell.capnp", &format!("bundles = [{}]", hello("bundles/hello.wasm", "once")))?)?;
    let manifest = sources.compile(&program, "internal-compile-manifest")?;
    cells(&Plan::of(&manifest)?, &program)?;
    house(&manifest, Plan::of(&manifest)?, program)
}

fn cells(plan: &Plan, program: &Path) -> Done<()> {
    let component = std::fs::read(program.with_file_name("../bundles/hello.wasm"))?;
    let code = compile(&component, program, "internal-compile-component")?;
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
    let end = machine.call(image, permit, Work { task, limits, hearing, errand: None, pace }, ()).await;
    matches!(end.result, Ok(Outcome::Tool(_)))
}

fn house(manifest: &Manifest, plan: Plan, program: std::path::PathBuf) -> Done<()> {
    let folder = program.with_file_name("../bench-state");
    let state = StateFolder::open(&folder)?;
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

/// Calls for a while on one thread, and then on two.
fn report(what: &str, call: impl Fn(&Runtime) -> bool + Sync) -> Done<()> {
    let (one, p50, p99) = load(1, &call)?;
    let (two, ..) = load(2, &call)?;
    let us = |time: Duration| time.as_nanos() as f64 / 1000.0;
    tell(&format!(
        "{what:<6} {one:>7.0}/s  p50 {:>5.1} µs  p99 {:>5.1} µs;  on two threads {two:>7.0}/s ({:.2} times)",
        us(p50),
        us(p99),
        two / one
    ));
    Ok(())
}

fn load(threads: usize, call: &(impl Fn(&Runtime) -> bool + Sync)) -> Done<(f64, Duration, Duration)> {
    let (stop, calls, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicBool::new(false));
    let (stop, calls, failed) = (Arc::new(stop), Arc::new(calls), Arc::new(failed));
    let mut all = Vec::new();
    std::thread::scope(|scope| -> Done<()> {
        let mut workers = Vec::new();
        for _ in 0..threads {
            let runtime = runtime()?;
            let (stop, calls, failed) = (Arc::clone(&stop), Arc::clone(&calls), Arc::clone(&failed));
            workers.push(scope.spawn(move || {
                let mut times = Vec::new();
                for _ in 0..WARM_UP {
                    call(&runtime);
                }
                while !stop.load(Ordering::Relaxed) {
                    let started = Instant::now();
                    if !call(&runtime) {
                        failed.store(true, Ordering::Relaxed);
                    }
                    times.push(started.elapsed());
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                times
            }));
        }
        std::thread::sleep(Duration::from_millis(200));
        let (before, started) = (calls.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(Duration::from_secs(SECONDS));
        let per_second = (calls.load(Ordering::Relaxed) - before) as f64 / started.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            all.push(worker.join().map_err(|_| "a thread broke off")?);
        }
        calls.store(per_second as u64, Ordering::Relaxed);
        Ok(())
    })?;
    if failed.load(Ordering::Relaxed) {
        return Err("a call failed".into());
    }
    let mut times = all.concat();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    Ok((calls.load(Ordering::Relaxed) as f64, at(50), at(99)))
}

fn runtime() -> Done<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
