//! One live thing per kind and name in a process.
//!
//! Asking twice for the same target gives two clients and one budget, one set of endpoints, one pool of
//! connections. The things belong to rooms that this crate does not know, so they are kept by their type; the
//! map is private, its keys carry the type, and so a look-up cannot find a thing of another one.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::error::Result;

#[derive(Default)]
pub(super) struct Once {
    things: Mutex<HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>>,
}

impl Once {
    /// The thing of this type and name; `make` is asked if there is none yet.
    pub(super) fn of<T, F>(&self, name: &str, make: F) -> Result<Arc<T>>
    where
        T: Send + Sync + 'static,
        F: FnOnce() -> Result<T>,
    {
        let key = (TypeId::of::<T>(), name.to_owned());
        if let Some(known) = self.find::<T>(&key) {
            return Ok(known);
        }
        // Made outside the lock, because making one thing may ask for another.
        let made = Arc::new(make()?);
        let mut things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = things.entry(key).or_insert(made);
        Ok(Arc::clone(kept).downcast().expect("the key carries the type"))
    }

    fn find<T: Send + Sync + 'static>(&self, key: &(TypeId, String)) -> Option<Arc<T>> {
        let things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        things.get(key).map(|known| Arc::clone(known).downcast().expect("the key carries the type"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_thing_and_another_type_another() {
        let once = Once::default();
        let first = once.of("a", || Ok(1_u32)).unwrap();
        assert!(Arc::ptr_eq(&first, &once.of("a", || Ok(2_u32)).unwrap()));
        assert_eq!(*once.of("b", || Ok(2_u32)).unwrap(), 2);
        assert_eq!(*once.of("a", || Ok("text")).unwrap(), "text");
    }
}
