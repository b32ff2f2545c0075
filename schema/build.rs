//! Compiles `certosa.capnp` with the embedded Cap'n Proto compiler; the generated code stays in `OUT_DIR`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=certosa.capnp");
    let request = capnpc_embedded::CompileCommand::new().src_prefix(".").file("certosa.capnp").compile()?;
    capnpc::codegen::CodeGenerationCommand::new().output_directory(std::env::var("OUT_DIR")?).run(&request[..])?;
    Ok(())
}
