//! Who may call what. [`decide`] is the only gate of the house, and a [`Permit`] is what it hands out: a
//! value with private fields and no other constructor, which whoever runs a cell has to be given. Listing
//! and calling ask the same function, so what cannot be called cannot be seen either.
//!
//! Pure: no IO, no clock, no state.

use certosa_manifest::{Plan, RoutePlan};
use certosa_model::Subject;

/// Who is asking. It is known before any target is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    subject: Subject,
}

/// What is asked for: a tool, by the way of a route.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub route: &'a RoutePlan,
    pub tool: &'a Subject,
}

/// Proof that `decide` allowed this caller this tool.
#[derive(Debug)]
pub struct Permit<'a> {
    caller: &'a Caller,
    tool: &'a Subject,
}

/// Why not. The operator may read it in the record; the caller is told that there is no such tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("the route's `callers` do not include this caller")]
    Caller,
    #[error("the route's `tools` do not include this tool")]
    Tool,
    #[error("the route belongs to another manifest")]
    Route,
}

/// Decides whether `caller` may have `target` under `plan`.
pub fn decide<'a>(plan: &Plan, caller: &'a Caller, target: &Target<'a>) -> Result<Permit<'a>, Denial> {
    if !plan.routes.iter().any(|route| std::ptr::eq(route, target.route)) {
        return Err(Denial::Route);
    }
    if !target.route.callers.matches(&caller.subject) {
        return Err(Denial::Caller);
    }
    if !target.route.tools.matches(target.tool) {
        return Err(Denial::Tool);
    }
    Ok(Permit { caller, tool: target.tool })
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

    pub fn tool(&self) -> &Subject {
        self.tool
    }

    /// The tool's name inside its bundle: the last segment of its subject.
    pub fn tool_name(&self) -> &str {
        self.tool.as_str().rsplit('/').next().unwrap_or_default()
    }
}
