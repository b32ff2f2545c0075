//! Nothing: what counts are the files of the dependencies.
