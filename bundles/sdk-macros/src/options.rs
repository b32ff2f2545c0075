use proc_macro2::TokenStream;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, Ident, Lit, Meta, Result, Token};

/// What stands in the parentheses of an attribute.
#[derive(Default)]
pub(crate) struct Options {
    pub title: Option<String>,
    pub uri: Option<String>,
    pub mime_type: Option<String>,
    pub priority: Option<f64>,
    pub complete: Option<Expr>,
    pub hints: Vec<Ident>,
}

impl Options {
    /// Reads the options that this attribute knows.
    pub(crate) fn parse(tokens: TokenStream, known: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        for meta in Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens)? {
            let word = meta.path().get_ident().map(Ident::to_string).unwrap_or_default();
            if !known.contains(&word.as_str()) {
                return Err(Error::new(meta.span(), format!("expected one of {}", known.join(", "))));
            }
            match (word.as_str(), &meta) {
                ("title", Meta::NameValue(pair)) => options.title = Some(text(&pair.value)?),
                ("uri", Meta::NameValue(pair)) => options.uri = Some(text(&pair.value)?),
                ("mime_type", Meta::NameValue(pair)) => options.mime_type = Some(text(&pair.value)?),
                ("priority", Meta::NameValue(pair)) => options.priority = Some(number(&pair.value)?),
                ("complete", Meta::NameValue(pair)) => options.complete = Some(pair.value.clone()),
                (_, Meta::Path(path)) => options.hints.push(Ident::new(&word.to_uppercase(), path.span())),
                _ => return Err(Error::new(meta.span(), "expected `name = value`, or a name alone for a promise")),
            }
        }
        Ok(options)
    }
}

pub(crate) fn text(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.value()),
        other => Err(Error::new(other.span(), "expected a string")),
    }
}

fn number(value: &Expr) -> Result<f64> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => number.base10_parse(),
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse(),
        other => Err(Error::new(other.span(), "expected a number")),
    }
}
