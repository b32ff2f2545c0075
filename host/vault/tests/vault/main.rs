//! A vault from outside: what the operator does, what bundles may, and what somebody with an editor can not.

#![cfg(test)]

mod changes;
mod keks;
mod restored;
mod support;
mod tampered;
mod used;
