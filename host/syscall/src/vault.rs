//! `wit/vault.wit`: using credentials that the guest cannot read.

use certosa_model::Purpose;

use crate::bindings::certosa::tools::vault;
use crate::caller::Cell;
use crate::errand::Errand;
use crate::refused::Refused;

impl vault::Host for Cell {
    async fn available(&mut self) -> Vec<String> {
        match &self.outside().0.door.errand {
            Some(errand) => errand.available().await,
            None => Vec::new(),
        }
    }

    async fn use_(&mut self, name: String) -> Result<(), ()> {
        let door = &mut self.outside().0.door;
        let errand = door.errand.as_deref().ok_or(())?;
        let found = errand.find(&name).and_then(|granted| match granted.rule.purpose {
            Purpose::Send { .. } => Ok(granted.name.clone()),
            Purpose::Sign { .. } | Purpose::Mac { .. } => Err(Refused::NotGranted(name)),
        });
        door.chosen = Some(found.map_err(|why| errand.refused(&why))?);
        Ok(())
    }

    async fn sign(&mut self, name: String, message: Vec<u8>) -> Result<Vec<u8>, ()> {
        let errand = self.outside().0.door.errand.clone().ok_or(())?;
        let signed = errand.sign(&name, &message).await;
        Ok(signed.map_err(|why| errand.refused(&why))?.to_vec())
    }

    async fn mac(&mut self, name: String, message: Vec<u8>) -> Result<Vec<u8>, ()> {
        let errand = self.outside().0.door.errand.clone().ok_or(())?;
        let code = errand.mac(&name, &message).await;
        Ok(code.map_err(|why| errand.refused(&why))?.to_vec())
    }
}

impl Errand {
    async fn sign(&self, name: &str, message: &[u8]) -> Result<[u8; 64], Refused> {
        let granted = self.find(name)?;
        let Purpose::Sign { context } = &granted.rule.purpose else {
            return Err(Refused::NotGranted(granted.name.to_string()));
        };
        self.use_it(granted, |vault, by| vault.sign(&granted.name, by, context, message)).await
    }

    async fn mac(&self, name: &str, message: &[u8]) -> Result<[u8; 32], Refused> {
        let granted = self.find(name)?;
        let Purpose::Mac { context } = &granted.rule.purpose else {
            return Err(Refused::NotGranted(granted.name.to_string()));
        };
        self.use_it(granted, |vault, by| vault.mac(&granted.name, by, context, message)).await
    }
}
