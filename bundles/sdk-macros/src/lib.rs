//! The attributes `#[tool]`, `#[prompt]` and `#[resource]`. Each leaves the function as it is and puts a type
//! of the same name beside it, which knows how the thing is listed and how it is called.

mod function;
mod options;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Result};

use crate::function::{Function, option};
use crate::options::Options;

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
    expand(options, function, &["title", "read_only", "destructive", "idempotent", "open_world"], expand_tool)
}

/// Makes a prompt out of a function. Its arguments are `String` or `Option<String>`; it returns a text, a list
/// of messages, or questions.
///
/// In parentheses: `title = "…"`, and `complete = function` for what its arguments may be: a
/// `fn(&Completing) -> Vec<String>`.
#[proc_macro_attribute]
pub fn prompt(options: proc_macro::TokenStream, function: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(options, function, &["title", "complete"], expand_prompt)
}

/// Makes a resource out of a function, or a template of resources if the address has expressions such as
/// `{name}`; these are its arguments then, as `String`.
///
/// In parentheses: `uri = "…"`, and as wanted `title = "…"`, `mime_type = "…"`, `priority = 0.5`, and
/// `complete = function` as for prompts.
#[proc_macro_attribute]
pub fn resource(options: proc_macro::TokenStream, function: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(options, function, &["uri", "title", "mime_type", "priority", "complete"], expand_resource)
}

fn expand(
    options: proc_macro::TokenStream,
    function: proc_macro::TokenStream,
    known: &[&str],
    expand: fn(&Options, &Function) -> Result<TokenStream>,
) -> proc_macro::TokenStream {
    let expanded = Options::parse(options.into(), known).and_then(|options| {
        let function = Function::parse(syn::parse(function)?)?;
        let rest = expand(&options, &function)?;
        let item = &function.item;
        let (visibility, ident) = (&item.vis, &item.sig.ident);
        Ok(quote! {
            #item

            #[allow(non_camel_case_types, reason = "the type has the name of its function")]
            #visibility struct #ident {}

            const _: () = { #rest };
        })
    });
    expanded.unwrap_or_else(Error::into_compile_error).into()
}

fn expand_tool(options: &Options, function: &Function) -> Result<TokenStream> {
    let Function { name, ident, description, output, arguments, .. } = function;
    let struct_ = function.arguments_struct(true);
    let title = option(options.title.as_deref());
    let hints = &options.hints;
    Ok(quote! {
        #struct_

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
                #[allow(unused_variables, reason = "there may be no arguments")]
                let arguments: Arguments = call.arguments()?;
                certosa_sdk::IntoOutcome::into_outcome(#ident(#(#arguments),*))
            }
        }
    })
}

fn expand_prompt(options: &Options, function: &Function) -> Result<TokenStream> {
    let Function { name, ident, description, arguments, .. } = function;
    let struct_ = function.arguments_struct(false);
    let title = option(options.title.as_deref());
    let listed = function.fields.iter().map(|field| {
        let (name, description, required) = (field.name(), option(field.description.as_deref()), !field.is_option());
        quote! {
            certosa_sdk::PromptArgument {
                name: #name.to_owned(), title: None, description: #description, required: #required,
            }
        }
    });
    let candidates = candidates(options);
    Ok(quote! {
        #struct_

        impl certosa_sdk::Prompt for #ident {
            const NAME: &'static str = #name;

            fn describe() -> certosa_sdk::PromptInfo {
                certosa_sdk::PromptInfo {
                    name: #name.to_owned(),
                    title: #title,
                    description: Some(#description.to_owned()),
                    arguments: vec![#(#listed),*],
                }
            }

            fn get(call: &certosa_sdk::Call) -> Result<certosa_sdk::GetOutcome, certosa_sdk::Refusal> {
                #[allow(unused_variables, reason = "there may be no arguments")]
                let arguments: Arguments = call.arguments()?;
                certosa_sdk::IntoPrompt::into_prompt(#ident(#(#arguments),*))
            }

            #candidates
        }
    })
}

fn expand_resource(options: &Options, function: &Function) -> Result<TokenStream> {
    let Function { name, ident, description, arguments, .. } = function;
    let Some(uri) = &options.uri else {
        return Err(Error::new(ident.span(), "a resource needs an address: #[resource(uri = \"…\")]"));
    };
    let struct_ = function.arguments_struct(false);
    let (title, mime_type) = (option(options.title.as_deref()), option(options.mime_type.as_deref()));
    let priority = options.priority.map_or(quote!(None), |priority| quote!(Some(#priority)));
    let mime = options.mime_type.as_deref().map_or(quote!(None), |text| quote!(Some(#text)));
    let annotations = quote! {
        certosa_sdk::Annotations { audience: Vec::new(), priority: #priority, last_modified: None }
    };
    let common = quote! {
        name: #name.to_owned(),
        title: #title,
        description: Some(#description.to_owned()),
        mime_type: #mime_type,
        annotations: #annotations,
    };
    let listed = match uri.contains('{') {
        true => quote!(Template(certosa_sdk::TemplateInfo { uri_template: #uri.to_owned(), #common })),
        false => quote!(Resource(certosa_sdk::ResourceInfo { uri: #uri.to_owned(), size: None, #common })),
    };
    let candidates = candidates(options);
    Ok(quote! {
        #struct_

        impl certosa_sdk::Resource for #ident {
            const NAME: &'static str = #name;

            fn describe() -> certosa_sdk::Readable {
                certosa_sdk::Readable::#listed
            }

            fn read(call: &certosa_sdk::Call) -> Result<certosa_sdk::ReadOutcome, certosa_sdk::Refusal> {
                #[allow(unused_variables, reason = "there may be no variables")]
                let arguments: Arguments = call.arguments()?;
                certosa_sdk::IntoContents::into_contents(#ident(#(#arguments),*), call.uri(), #mime)
            }

            #candidates
        }
    })
}

fn candidates(options: &Options) -> TokenStream {
    options.complete.as_ref().map_or(TokenStream::new(), |function| {
        quote! {
            fn candidates(typing: &certosa_sdk::Completing) -> Vec<String> {
                #function(typing)
            }
        }
    })
}
