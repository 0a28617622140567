//! Cells made of other cells: lists, structs, maps and unions as JSON, dictionaries and runs as their values.

use std::io;
use std::ops::Range;

use arrow::array::{AnyDictionaryArray, Array, AsArray, MapArray, RunArray, StructArray, UnionArray};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type, RunEndIndexType};
use tidemill_engine::{Error, Result};

use super::scalar::{Nulls, json};
use super::{Cells, Column, Style};
use crate::http::encode::names::unique_names;

struct Lists<'a, F> {
    items: Column<'a>,
    range: F,
}

impl<F: Fn(usize) -> Range<usize>> Cells for Lists<'_, F> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.push(b'[');
        for (n, item) in (self.range)(row).enumerate() {
            if n > 0 {
                out.push(b',');
            }
            self.items.write_or_null(item, out)?;
        }
        out.push(b']');
        Ok(())
    }
}

pub(super) fn lists<'a>(array: &'a dyn Array, style: Style) -> Result<Box<dyn Cells + 'a>> {
    fn boxed<'a>(
        items: &'a dyn Array,
        style: Style,
        range: impl Fn(usize) -> Range<usize> + 'a,
    ) -> Result<Box<dyn Cells + 'a>> {
        Ok(Box::new(Lists { items: Column::resolve(items, style.nested())?, range }))
    }
    match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            boxed(list.values(), style, |row| offsets[row] as usize..offsets[row + 1] as usize)
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets();
            boxed(list.values(), style, |row| offsets[row] as usize..offsets[row + 1] as usize)
        }
        DataType::ListView(_) => {
            let list = array.as_list_view::<i32>();
            boxed(list.values(), style, |row| {
                let start = list.value_offset(row) as usize;
                start..start + list.value_size(row) as usize
            })
        }
        DataType::LargeListView(_) => {
            let list = array.as_list_view::<i64>();
            boxed(list.values(), style, |row| {
                let start = list.value_offset(row) as usize;
                start..start + list.value_size(row) as usize
            })
        }
        DataType::FixedSizeList(..) => {
            let list = array.as_fixed_size_list();
            let size = list.value_length() as usize;
            boxed(list.values(), style, move |row| row * size..(row + 1) * size)
        }
        other => Err(Error::internal(format!("type {other} is not a list"))),
    }
}

struct Structs<'a> {
    /// Each field's `"name":`, with the comma before it, and its cells.
    fields: Vec<(Vec<u8>, Column<'a>)>,
}

impl Cells for Structs<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.push(b'{');
        for (key, column) in &self.fields {
            out.extend_from_slice(key);
            column.write_or_null(row, out)?;
        }
        out.push(b'}');
        Ok(())
    }
}

pub(super) fn structs(array: &StructArray, style: Style) -> Result<Box<dyn Cells + '_>> {
    let names = unique_names(array.fields());
    let fields = object_keys(&names)?
        .into_iter()
        .zip(array.columns())
        .map(|(key, column)| Ok((key, Column::resolve(column, style.nested())?)))
        .collect::<Result<_>>()?;
    Ok(Box::new(Structs { fields }))
}

/// What stands before each value of an object with these names: `"a":`, `,"b":`, ...
pub(crate) fn object_keys(names: &[String]) -> Result<Vec<Vec<u8>>> {
    names
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let mut key = Vec::with_capacity(name.len() + 4);
            if n > 0 {
                key.push(b',');
            }
            json(name, &mut key)
                .map_err(|cause| Error::internal("a column name cannot be written").caused_by(cause))?;
            key.push(b':');
            Ok(key)
        })
        .collect()
}

struct Maps<'a> {
    offsets: &'a [i32],
    keys: Column<'a>,
    values: Column<'a>,
    /// Keys are strings, so that the map is an object; otherwise it is a list of pairs.
    object: bool,
}

impl Cells for Maps<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.push(if self.object { b'{' } else { b'[' });
        for (n, entry) in (self.offsets[row] as usize..self.offsets[row + 1] as usize).enumerate() {
            if n > 0 {
                out.push(b',');
            }
            if !self.object {
                out.push(b'[');
            }
            self.keys.write_or_null(entry, out)?;
            out.push(if self.object { b':' } else { b',' });
            self.values.write_or_null(entry, out)?;
            if !self.object {
                out.push(b']');
            }
        }
        out.push(if self.object { b'}' } else { b']' });
        Ok(())
    }
}

pub(super) fn maps(array: &MapArray, style: Style) -> Result<Box<dyn Cells + '_>> {
    let key_type = match array.keys().data_type() {
        DataType::Dictionary(_, value) => value,
        other => other,
    };
    Ok(Box::new(Maps {
        offsets: array.value_offsets(),
        object: key_type.is_string(),
        keys: Column::resolve(array.keys(), style.nested())?,
        values: Column::resolve(array.values(), style.nested())?,
    }))
}

struct Unions<'a> {
    array: &'a UnionArray,
    /// By type id.
    children: Vec<Option<Column<'a>>>,
}

impl Cells for Unions<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let child = usize::try_from(self.array.type_id(row)).ok().and_then(|id| self.children.get(id)?.as_ref());
        match child {
            Some(child) => child.write_or_null(self.array.value_offset(row), out),
            None => Err(io::Error::other("a union's type id has no child")),
        }
    }
}

pub(super) fn unions(array: &dyn Array, style: Style) -> Result<Box<dyn Cells + '_>> {
    let array = array.as_union();
    let mut children: Vec<Option<Column<'_>>> = Vec::new();
    for (id, _) in array.fields().iter() {
        let Ok(index) = usize::try_from(id) else { continue };
        if children.len() <= index {
            children.resize_with(index + 1, || None);
        }
        children[index] = Some(Column::resolve(array.child(id), style)?);
    }
    Ok(Box::new(Unions { array, children }))
}

/// Cells that live elsewhere, by index.
struct Indirect<'a, F> {
    values: Column<'a>,
    index: F,
}

impl<F: Fn(usize) -> usize> Cells for Indirect<'_, F> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.values.write((self.index)(row), out)
    }
}

pub(super) fn dictionary(array: &dyn AnyDictionaryArray, style: Style) -> Result<Box<dyn Cells + '_>> {
    if array.values().is_empty() {
        return Ok(Box::new(Nulls));
    }
    let keys = array.normalized_keys();
    Ok(Box::new(Indirect { values: Column::resolve(array.values(), style)?, index: move |row: usize| keys[row] }))
}

pub(super) fn runs<'a>(array: &'a dyn Array, run_ends: &DataType, style: Style) -> Result<Box<dyn Cells + 'a>> {
    fn typed<'a, R: RunEndIndexType>(array: &'a dyn Array, style: Style) -> Result<Box<dyn Cells + 'a>> {
        let Some(runs) = array.as_any().downcast_ref::<RunArray<R>>() else {
            return Err(Error::internal(format!("an array is not of its type {}", array.data_type())));
        };
        let values = Column::resolve(runs.values(), style)?;
        Ok(Box::new(Indirect { values, index: |row| runs.get_physical_index(row) }))
    }
    match run_ends {
        DataType::Int16 => typed::<Int16Type>(array, style),
        DataType::Int32 => typed::<Int32Type>(array, style),
        DataType::Int64 => typed::<Int64Type>(array, style),
        other => Err(Error::internal(format!("type {other} does not count runs"))),
    }
}
