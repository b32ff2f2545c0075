//! A house in this process, because over HTTP there is one caller: what callers have of their own, and what they
//! take from each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use certosa_house::{Ask, Call, CallError, Compilers, House, Way};
use certosa_manifest::{Plan, Sources};
use certosa_model::Subject;
use certosa_policy::Caller;
use certosa_store::StateFolder;
use certosa_syscall::Hearing;
use certosa_syscall::guest::{Askable, Content, Outcome};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::reuse::counter;
use super::{folder, guest};
use crate::support::Folder;
use crate::typed::program;

struct Inside {
    house: Arc<House>,
    _folder: Folder,
}

impl Inside {
    async fn open(folder: Folder) -> Self {
        let sources = Sources::read(&folder.path("manifest.capnp")).unwrap();
        let manifest = sources.compile(&program(), "internal-compile-manifest").unwrap();
        let plan = Plan::of(&manifest).unwrap();
        let state = StateFolder::open(&folder.path(".certosa")).unwrap();
        let (task, describe_task) = ("internal-compile-component", "internal-describe-component");
        let compilers = Compilers { program: program(), task, describe_task };
        let house = House::open(&manifest, plan, &state, &compilers, None, &mut |_| {}).await.unwrap();
        Self { house: Arc::new(house), _folder: folder }
    }

    /// Begins a call of this caller, with one number; how long it took is part of what comes of it.
    fn begin(&self, caller: &str, tool: &str, number: u32) -> JoinHandle<(Result<u32, CallError>, Duration)> {
        let (house, tool) = (Arc::clone(&self.house), tool.to_owned());
        let caller = Caller::identified(Subject::new(&format!("user/{caller}")).unwrap());
        tokio::spawn(async move {
            let started = Instant::now();
            let (listings, arguments) = (house.listings(), json!({"number": number}).to_string());
            let call = Call {
                way: Way::Http,
                caller: &caller,
                route: house.route("/mcp").unwrap().view(&listings),
                ask: Ask::Tool { name: &tool, arguments: &arguments },
                answers: Vec::new(),
                state: None,
                askable: Askable::empty(),
                hearing: Hearing::default(),
                trace: None,
            };
            let result = house.call(call).await.unwrap().into_inner().result.map(|outcome| match outcome {
                Outcome::Tool(result) => match result.content.as_slice() {
                    [Content::Text(text)] => text.parse().unwrap(),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            });
            (result, started.elapsed())
        })
    }

    async fn call(&self, caller: &str, tool: &str) -> u32 {
        self.begin(caller, tool, 0).await.unwrap().0.unwrap()
    }

    async fn still_serves(&self) {
        assert_eq!(self.call("eve", "neighbour_seven").await, 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_has_a_cell_of_its_own() {
    let inside = Inside::open(folder(&[("hostile", &counter(), ", reuse = caller")])).await;
    let mut counts = Vec::new();
    for caller in ["ana", "bob", "ana", "ana", "bob", "cid"] {
        counts.push(inside.call(caller, "hostile_count").await);
    }
    assert_eq!(counts, [1, 1, 2, 3, 2, 1]);
    // One who breaks its own cell has broken nobody else's.
    assert!(inside.begin("ana", "hostile_break", 0).await.unwrap().0.is_err());
    assert_eq!(inside.call("bob", "hostile_count").await, 3);
    assert_eq!(inside.call("ana", "hostile_count").await, 1);
    inside.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reuse_callers_share_nothing() {
    let inside = Inside::open(folder(&[("hostile", &counter(), ", reuse = once")])).await;
    for caller in ["ana", "bob", "ana", "bob"] {
        assert_eq!(inside.call(caller, "hostile_count").await, 1);
    }
}

/// Kept cells are as many as may run: one more ends the one that waited for longest.
#[tokio::test(flavor = "multi_thread")]
async fn kept_cells_are_bounded() {
    let fields = ", reuse = caller, limits = (concurrencyMax = 2)";
    let inside = Inside::open(folder(&[("hostile", &counter(), fields)])).await;
    let mut counts = Vec::new();
    for caller in ["ana", "bob", "cid", "bob", "cid", "ana", "cid"] {
        counts.push(inside.call(caller, "hostile_count").await);
    }
    assert_eq!(counts, [1, 1, 1, 2, 2, 1, 3], "the cell of ana went, then that of bob");
    inside.still_serves().await;
}

const SLEEP: &str = r#"(func (export "i#sleep") (param i32) (result i32)
    (call $block (call $timer-ms (local.get 0))) (local.get 0))"#;

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_has_no_more_than_its_share() {
    let bytes = guest("sleep: func(number: u32) -> u32;", SLEEP);
    let fields = ", limits = (concurrencyMax = 3, callerConcurrencyMax = 2)";
    let inside = Inside::open(folder(&[("hostile", &bytes, fields)])).await;
    inside.begin("ana", "hostile_sleep", 1).await.unwrap().0.unwrap();
    let greedy: Vec<_> = (0..6).map(|_| inside.begin("ana", "hostile_sleep", 1_500)).collect();
    sleep(Duration::from_millis(300)).await;
    let (result, took) = inside.begin("bob", "hostile_sleep", 10).await.unwrap();
    assert_eq!(result.unwrap(), 10);
    assert!(took < Duration::from_millis(900), "bob did not wait for ana: {took:?}");
    let mut waits = Vec::new();
    for call in greedy {
        let (result, took) = call.await.unwrap();
        assert_eq!(result.unwrap(), 1_500);
        waits.push(took);
    }
    waits.sort_unstable();
    // Two at a time: three rounds, although there was room for a third.
    assert!(waits[1] < Duration::from_millis(2_900) && waits[2] >= Duration::from_millis(2_900), "{waits:?}");
    assert!(waits[4] >= Duration::from_millis(4_400), "{waits:?}");
    inside.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_has_only_so_many_cells_and_so_has_the_house() {
    let bytes = guest("sleep: func(number: u32) -> u32;", SLEEP);
    let fields = ", limits = (concurrencyMax = 2)";
    let folder = folder(&[("hostile", &bytes, fields), ("other", &bytes, fields)]);
    let manifest = std::fs::read_to_string(folder.path("manifest.capnp")).unwrap();
    folder.write("manifest.capnp", manifest.replacen("bundles = ", "limits = (cellsMax = 3), bundles = ", 1));
    let inside = Inside::open(folder).await;
    for tool in ["hostile_sleep", "other_sleep"] {
        inside.begin("eve", tool, 1).await.unwrap().0.unwrap();
    }
    let took = async |calls: &[(&str, &str)]| {
        let begun: Vec<_> = calls.iter().map(|(caller, tool)| inside.begin(caller, tool, 1_000)).collect();
        let mut took = Vec::new();
        for call in begun {
            let (result, time) = call.await.unwrap();
            assert_eq!(result.unwrap(), 1_000);
            took.push(time);
        }
        took.sort_unstable();
        took
    };
    let (own, other) = ("hostile_sleep", "other_sleep");
    // Three of one bundle: two at a time, although the house has room for three.
    let waits = took(&[("ana", own), ("bob", own), ("cid", own)]).await;
    assert!(waits[1] < Duration::from_millis(1_900) && waits[2] >= Duration::from_millis(1_950), "{waits:?}");
    // Two of each: three at a time, although each bundle has room for both of its own.
    let waits = took(&[("ana", own), ("bob", own), ("cid", other), ("dan", other)]).await;
    assert!(waits[2] < Duration::from_millis(1_900) && waits[3] >= Duration::from_millis(1_950), "{waits:?}");
    let waits = took(&[("ana", own), ("bob", own), ("cid", other)]).await;
    assert!(waits[2] < Duration::from_millis(1_900), "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_no_longer_than_a_call() {
    let bytes = guest("sleep: func(number: u32) -> u32;", SLEEP);
    let fields = ", limits = (concurrencyMax = 1, wallMsMax = 900)";
    let inside = Inside::open(folder(&[("hostile", &bytes, fields)])).await;
    inside.begin("eve", "hostile_sleep", 1).await.unwrap().0.unwrap();
    let first = inside.begin("ana", "hostile_sleep", 800);
    sleep(Duration::from_millis(100)).await;
    let second = inside.begin("bob", "hostile_sleep", 800);
    sleep(Duration::from_millis(50)).await;
    let (refused, took) = inside.begin("cid", "hostile_sleep", 1).await.unwrap();
    let refused = refused.unwrap_err();
    assert!(matches!(refused, CallError::Busy { field: "wallMsMax", bound: 900, .. }), "{refused:?}");
    assert!(refused.to_string().contains("(wallMsMax = 900, set by the operator)"), "{refused}");
    assert!((900..1_300).contains(&took.as_millis()), "{took:?}");
    // Who waited for 90 % of it was served.
    for call in [first, second] {
        assert_eq!(call.await.unwrap().0.unwrap(), 800);
    }
    inside.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_much_is_told_by_which_bound() {
    let bytes = guest("sleep: func(number: u32) -> u32;", SLEEP);
    let fields = ", limits = (concurrencyMax = 3, callerConcurrencyMax = 1, queueMax = 2)";
    let inside = Inside::open(folder(&[("hostile", &bytes, fields)])).await;
    let calls: Vec<_> = (0..3).map(|_| inside.begin("ana", "hostile_sleep", 800)).collect();
    sleep(Duration::from_millis(200)).await;
    let refused = inside.begin("ana", "hostile_sleep", 800).await.unwrap().0.unwrap_err();
    assert!(matches!(refused, CallError::Busy { field: "queueMax", bound: 2, .. }), "{refused:?}");
    assert!(refused.to_string().contains("(queueMax = 2, set by the operator)"), "{refused}");
    // Others find a place beside it.
    assert_eq!(inside.begin("bob", "hostile_sleep", 10).await.unwrap().0.unwrap(), 10);
    for call in calls {
        assert_eq!(call.await.unwrap().0.unwrap(), 800);
    }
    inside.still_serves().await;
}
