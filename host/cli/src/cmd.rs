//! One command, one file: parse, act, tell.

pub mod call;
pub mod check;
pub mod completions;
pub mod doctor;
pub mod inspect;
pub mod serve;
pub mod stdio;
pub mod tail;
pub mod tools;
pub mod vault;
