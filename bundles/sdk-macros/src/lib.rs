//! The attribute `#[tool]`. It leaves the function as it is and puts a type of the same name beside it, which
//! knows the tool's name, its schema and how to call it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, Meta, Pat, Result, Token, Type};

/// Makes a tool out of a function.
///
/// The doc comment of the function is the tool's description and the doc comments of its arguments are
/// theirs; both are written for a model. An argument of type `&Call` receives the call itself; every other
/// one becomes a member of the input schema, optional if it is an `Option`.
///
/// In parentheses: `title = "…"`, and the author's promises `read_only`, `destructive`, `idempotent` and
/// `open_world`.
#[proc_macro_attribute]
pub fn tool(options: proc_macro::TokenStream, function: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let expanded = syn::parse(function).and_then(|function| expand(options.into(), function));
    expanded.unwrap_or_else(Error::into_compile_error).into()
}

fn expand(options: TokenStream, mut function: ItemFn) -> Result<TokenStream> {
    if let Some(asyncness) = function.sig.asyncness {
        return Err(Error::new(asyncness.span(), "a tool is not async: a cell runs one call and may block"));
    }
    let options = Options::parse(options)?;
    let description = docs(&function.attrs)?;
    if description.is_empty() {
        return Err(Error::new(function.sig.ident.span(), "a tool needs a doc comment: it is what a model reads"));
    }
    let (mut fields, mut arguments) = (Vec::new(), Vec::new());
    for input in &mut function.sig.inputs {
        let FnArg::Typed(input) = input else {
            return Err(Error::new(input.span(), "a tool has no self"));
        };
        if matches!(&*input.ty, Type::Reference(_)) {
            arguments.push(quote!(call));
            continue;
        }
        let Pat::Ident(name) = &*input.pat else {
            return Err(Error::new(input.pat.span(), "an argument of a tool is a plain name"));
        };
        let (name, kind) = (&name.ident, &input.ty);
        let attrs = std::mem::take(&mut input.attrs);
        fields.push(quote!(#(#attrs)* #name: #kind));
        arguments.push(quote!(arguments.#name));
    }
    let Options { title, hints } = options;
    let title = title.map_or(quote!(None), |title| quote!(Some(#title.to_owned())));
    let (visibility, ident) = (&function.vis, &function.sig.ident);
    let name = ident.to_string();
    let output = match &function.sig.output {
        syn::ReturnType::Default => quote!(()),
        syn::ReturnType::Type(_, kind) => quote!(#kind),
    };
    Ok(quote! {
        #function

        #[allow(non_camel_case_types, reason = "the tool has the name of its function")]
        #visibility struct #ident {}

        const _: () = {
            #[derive(certosa_sdk::serde::Deserialize, certosa_sdk::schemars::JsonSchema)]
            #[serde(crate = "certosa_sdk::serde", deny_unknown_fields)]
            #[schemars(crate = "certosa_sdk::schemars")]
            struct Arguments { #(#fields),* }

            impl certosa_sdk::Tool for #ident {
                const NAME: &'static str = #name;

                fn describe() -> certosa_sdk::ToolInfo {
                    certosa_sdk::ToolInfo {
                        name: #name.to_owned(),
                        title: #title,
                        description: #description.to_owned(),
                        input_schema: certosa_sdk::schema_of::<Arguments>(),
                        output_schema: <#output as certosa_sdk::IntoOutcome>::schema(),
                        hints: certosa_sdk::Hints::empty() #(| certosa_sdk::Hints::#hints)*,
                    }
                }

                fn call(call: &certosa_sdk::Call) -> Result<certosa_sdk::Outcome, certosa_sdk::Refusal> {
                    #[allow(unused_variables, reason = "a tool may have no arguments")]
                    let arguments: Arguments = call.arguments()?;
                    certosa_sdk::IntoOutcome::into_outcome(#ident(#(#arguments),*))
                }
            }
        };
    })
}

#[derive(Default)]
struct Options {
    title: Option<String>,
    hints: Vec<Ident>,
}

impl Options {
    fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        for meta in Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens)? {
            let word = meta.path().get_ident().map(Ident::to_string).unwrap_or_default();
            match (word.as_str(), &meta) {
                ("title", Meta::NameValue(pair)) => options.title = Some(text(&pair.value)?),
                ("read_only" | "destructive" | "idempotent" | "open_world", Meta::Path(path)) => {
                    options.hints.push(Ident::new(&word.to_uppercase(), path.span()));
                }
                _ => {
                    let known = "title = \"…\", read_only, destructive, idempotent, open_world";
                    return Err(Error::new(meta.span(), format!("expected one of {known}")));
                }
            }
        }
        Ok(options)
    }
}

/// The text of the doc comments, without the space after the slashes.
fn docs(attrs: &[Attribute]) -> Result<String> {
    let mut lines = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("doc")) {
        let line = text(&attr.meta.require_name_value()?.value)?;
        lines.push(line.strip_prefix(' ').unwrap_or(&line).to_owned());
    }
    Ok(lines.join("\n").trim().to_owned())
}

fn text(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.value()),
        other => Err(Error::new(other.span(), "expected a string")),
    }
}
