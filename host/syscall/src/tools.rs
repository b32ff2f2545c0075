//! The interface `tools` of a bundle (`wit/tools.wit`), the one that is called most.

use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, TypedFunc};

use crate::Cell;
use crate::bindings::certosa::tools::types::{Call, Outcome, Refusal, Tool};
use crate::bindings::exports::certosa::tools::tools::GuestIndices;
use crate::guest::EXPORTS;

pub(crate) struct Tools {
    indices: GuestIndices,
    call: ComponentExportIndex,
    /// Whether the type of `call-tool` was compared with ours. It belongs to the component, so once is enough; wasmtime
    /// would compare every member of every record for each call.
    is_compared: AtomicBool,
}

type CallTool<'a> = TypedFunc<(&'a Call,), (Result<Outcome, Refusal>,)>;

impl Tools {
    /// Finds the interface, if the component has it.
    pub(crate) fn find(instance: &InstancePre<Cell>) -> wasmtime::Result<Option<Self>> {
        let component = instance.component();
        let [name, ..] = EXPORTS;
        let Some(interface) = component.get_export_index(None, name) else { return Ok(None) };
        let indices = GuestIndices::new(instance)?;
        let Some(call) = component.get_export_index(Some(&interface), "call-tool") else {
            wasmtime::bail!("`{name}` has no `call-tool`");
        };
        Ok(Some(Self { indices, call, is_compared: AtomicBool::new(false) }))
    }

    pub(crate) async fn list(
        &self,
        store: &mut Store<Cell>,
        instance: &Instance,
    ) -> wasmtime::Result<Result<Vec<Tool>, Refusal>> {
        self.indices.load(&mut *store, instance)?.call_list_tools(store).await
    }

    pub(crate) async fn call(
        &self,
        store: &mut Store<Cell>,
        instance: &Instance,
        call: &Call,
    ) -> wasmtime::Result<Result<Outcome, Refusal>> {
        let (result,) = self.function(store, instance)?.call_async(store, (call,)).await?;
        Ok(result)
    }

    fn function<'a>(&self, store: &mut Store<Cell>, instance: &Instance) -> wasmtime::Result<CallTool<'a>> {
        let Some(function) = instance.get_func(&mut *store, self.call) else {
            wasmtime::bail!("`call-tool` is no function");
        };
        if !self.is_compared.load(Ordering::Relaxed) {
            let typed = function.typed(&*store)?;
            self.is_compared.store(true, Ordering::Relaxed);
            return Ok(typed);
        }
        #[expect(unsafe_code, reason = "the one way around comparing the types again")]
        // SAFETY: this export of this component was compared with these very types before, and `get_func` finds nothing
        // in an instance of another component: an index knows its component.
        Ok(unsafe { TypedFunc::new_unchecked(function) })
    }
}
