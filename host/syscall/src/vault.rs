//! `wit/vault.wit`: using credentials that the guest cannot read.

use certosa_model::{CredentialName, Purpose};

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
        let errand = self.outside().0.door.errand.clone().ok_or(())?;
        let chosen = errand.choose(&name).await.map_err(|why| errand.refused(&why))?;
        self.outside().0.door.chosen = Some(chosen);
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
    /// What has no value now is refused like what is not granted.
    async fn choose(&self, name: &str) -> Result<CredentialName, Refused> {
        let granted = self.find(name)?;
        let Purpose::Send { .. } = &granted.rule.purpose else {
            return Err(Refused::NotGranted(granted.name.to_string()));
        };
        self.check_value(granted).await?;
        Ok(granted.name.clone())
    }

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
