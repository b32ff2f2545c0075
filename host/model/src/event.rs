use serde::{Deserialize, Serialize};

/// Something that leaves a cell before its result does.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Progress(Progress),
    /// A log message; `data` is JSON text that was checked to be one value.
    Log {
        level: LogLevel,
        data: String,
    },
}

/// What a bundle says is out of date with its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The resource with this URI.
    Resource(String),
    Lists(Lists),
}

/// Lists of a bundle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lists {
    pub tools: bool,
    pub prompts: bool,
    pub resources: bool,
}

/// How far a call has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub done: f64,
    pub total: Option<f64>,
    pub message: Option<String>,
}

/// The severities of RFC 5424, mildest first, under their MCP names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl LogLevel {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }
}
