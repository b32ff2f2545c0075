//! Who may call what. [`decide`] is the only gate of the house, and a [`Permit`] is what it hands out: a
//! value with private fields and no other constructor, which whoever runs a cell has to be given. Listing
//! and calling ask the same function, so what cannot be called cannot be seen either.
//!
//! Pure: no IO, no clock, no state.

use certosa_manifest::{Plan, RoutePlan};
use certosa_model::{Kind, Subject};

/// Who is asking. It is known before any target is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    subject: Subject,
}

/// What is asked for: a tool, a prompt or a resource of a bundle, by the way of a route.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub route: &'a RoutePlan,
    pub kind: Kind,
    pub subject: &'a Subject,
}

/// Proof that `decide` allowed this caller this target.
#[derive(Debug)]
pub struct Permit<'a> {
    caller: &'a Caller,
    subject: &'a Subject,
}

/// Why not. The operator may read it in the record; the caller is told that there is no such thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("the route's `callers` do not include this caller")]
    Caller,
    #[error("the route's `{0}` do not include this one")]
    Subject(&'static str),
    #[error("the route belongs to another manifest")]
    Route,
}

/// Whether `caller` may use `route` at all. For those who may not, it looks as if it were not there.
pub fn admits(route: &RoutePlan, caller: &Caller) -> bool {
    route.callers.matches(&caller.subject)
}

/// Decides whether `caller` may have `target` under `plan`.
pub fn decide<'a>(plan: &Plan, caller: &'a Caller, target: &Target<'a>) -> Result<Permit<'a>, Denial> {
    if !plan.routes.iter().any(|route| std::ptr::eq(route, target.route)) {
        return Err(Denial::Route);
    }
    if !admits(target.route, caller) {
        return Err(Denial::Caller);
    }
    let (allowed, field) = match target.kind {
        Kind::Tool => (&target.route.tools, "tools"),
        Kind::Prompt => (&target.route.prompts, "prompts"),
        Kind::Resource => (&target.route.resources, "resources"),
    };
    if !allowed.matches(target.subject) {
        return Err(Denial::Subject(field));
    }
    Ok(Permit { caller, subject: target.subject })
}

impl Caller {
    /// Someone on this machine who showed no credentials.
    pub fn anonymous_loopback() -> Self {
        Self { subject: Subject::anonymous_loopback() }
    }

    /// Someone whom a caller of this function has identified.
    pub fn identified(subject: Subject) -> Self {
        Self { subject }
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }
}

impl Permit<'_> {
    pub fn caller(&self) -> &Caller {
        self.caller
    }

    pub fn subject(&self) -> &Subject {
        self.subject
    }

    /// Its name inside its bundle: the last segment of its subject.
    pub fn name(&self) -> &str {
        self.subject.as_str().rsplit('/').next().unwrap_or_default()
    }
}
