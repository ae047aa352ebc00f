//! Field ids: handed out anew for what is added, collected from what is dropped.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{ListType, MapType, NestedField, NestedFieldRef, StructType, Type};

/// The ids of a table, of which none is ever given twice.
pub(super) struct Ids {
    last: i32,
}

impl Ids {
    pub(super) fn after(last: i32) -> Self {
        Self { last }
    }

    /// The next id.
    ///
    /// # Errors
    /// `LimitExceeded` when they are used up: the specification reserves the highest 200.
    pub(super) fn next(&mut self) -> Result<i32> {
        if self.last >= i32::MAX - 201 {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "the table has used up its field ids",
            ));
        }
        self.last += 1;
        Ok(self.last)
    }

    /// `ty` with ids of ours: all fields of a struct first, then what is inside them.
    pub(super) fn renumber(&mut self, ty: &Type) -> Result<Type> {
        Ok(match ty {
            Type::Primitive(_) => ty.clone(),
            Type::Struct(inner) => {
                let ids =
                    inner.fields().iter().map(|_| self.next()).collect::<Result<Vec<i32>>>()?;
                let fields = inner
                    .fields()
                    .iter()
                    .zip(ids)
                    .map(|(field, id)| self.with_id(field, id))
                    .collect::<Result<Vec<NestedFieldRef>>>()?;
                Type::Struct(StructType::new(fields))
            }
            Type::List(list) => {
                let id = self.next()?;
                Type::List(ListType::new(self.with_id(&list.element_field, id)?))
            }
            Type::Map(map) => {
                let (key_id, value_id) = (self.next()?, self.next()?);
                let key = self.with_id(&map.key_field, key_id)?;
                Type::Map(MapType::new(key, self.with_id(&map.value_field, value_id)?))
            }
        })
    }

    fn with_id(&mut self, field: &NestedFieldRef, id: i32) -> Result<NestedFieldRef> {
        let mut renumbered = NestedField::clone(field);
        renumbered.id = id;
        renumbered.field_type = Box::new(self.renumber(&field.field_type)?);
        Ok(Arc::new(renumbered))
    }
}

/// The ids of a field and of everything inside it.
pub(super) fn ids_of(field: &NestedField, ids: &mut Vec<i32>) {
    ids.push(field.id);
    match field.field_type.as_ref() {
        Type::Primitive(_) => {}
        Type::Struct(inner) => inner.fields().iter().for_each(|field| ids_of(field, ids)),
        Type::List(list) => ids_of(&list.element_field, ids),
        Type::Map(map) => {
            ids_of(&map.key_field, ids);
            ids_of(&map.value_field, ids);
        }
    }
}
