use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, FnArg, Ident, ItemFn, Pat, Result, Type};

use crate::options::text;

/// A function that becomes something a bundle offers.
pub(crate) struct Function {
    /// Without the attributes of its arguments, which only we understand.
    pub item: ItemFn,
    pub ident: Ident,
    pub name: String,
    pub description: String,
    pub fields: Vec<Field>,
    /// What the function is called with.
    pub arguments: Vec<TokenStream>,
    pub output: TokenStream,
}

/// An argument that a caller gives.
pub(crate) struct Field {
    attrs: Vec<Attribute>,
    ident: Ident,
    kind: Type,
    pub description: Option<String>,
}

impl Function {
    pub(crate) fn parse(mut item: ItemFn) -> Result<Self> {
        if let Some(asyncness) = item.sig.asyncness {
            return Err(Error::new(asyncness.span(), "not async, please: a cell does one thing and may block"));
        }
        let ident = item.sig.ident.clone();
        let description = docs(&item.attrs)?;
        if description.is_empty() {
            return Err(Error::new(ident.span(), "this needs a doc comment: it is what a model reads"));
        }
        let (mut fields, mut arguments) = (Vec::new(), Vec::new());
        for input in &mut item.sig.inputs {
            let FnArg::Typed(input) = input else {
                return Err(Error::new(input.span(), "there is no self here"));
            };
            if matches!(&*input.ty, Type::Reference(_)) {
                arguments.push(quote!(call));
                continue;
            }
            let Pat::Ident(name) = &*input.pat else {
                return Err(Error::new(input.pat.span(), "an argument is a plain name"));
            };
            let attrs = std::mem::take(&mut input.attrs);
            let description = Some(docs(&attrs)?).filter(|text| !text.is_empty());
            let ident = &name.ident;
            arguments.push(quote!(arguments.#ident));
            fields.push(Field { attrs, ident: name.ident.clone(), kind: (*input.ty).clone(), description });
        }
        let output = match &item.sig.output {
            syn::ReturnType::Default => quote!(()),
            syn::ReturnType::Type(_, kind) => quote!(#kind),
        };
        let name = ident.to_string();
        Ok(Self { item, ident, name, description, fields, arguments, output })
    }

    /// The arguments as a type that serde can read, and that has a schema if that is wanted.
    pub(crate) fn arguments_struct(&self, schema: bool) -> TokenStream {
        let fields = self.fields.iter().map(|Field { attrs, ident, kind, .. }| quote!(#(#attrs)* #ident: #kind));
        let schema = schema.then(|| {
            quote! {
                #[derive(certosa_sdk::schemars::JsonSchema)]
                #[schemars(crate = "certosa_sdk::schemars")]
            }
        });
        quote! {
            #[derive(certosa_sdk::serde::Deserialize)]
            #[serde(crate = "certosa_sdk::serde", deny_unknown_fields)]
            #schema
            struct Arguments { #(#fields),* }
        }
    }
}

impl Field {
    pub(crate) fn name(&self) -> String {
        self.ident.to_string()
    }

    pub(crate) fn is_option(&self) -> bool {
        let Type::Path(path) = &self.kind else { return false };
        path.path.segments.last().is_some_and(|segment| segment.ident == "Option")
    }
}

/// `Some("…".to_owned())` or `None`.
pub(crate) fn option(text: Option<&str>) -> TokenStream {
    text.map_or(quote!(None), |text| quote!(Some(#text.to_owned())))
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
