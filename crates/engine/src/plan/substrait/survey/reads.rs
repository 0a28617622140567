//! What a plan reads: tables by their names, and rows that are written in it.

use datafusion_substrait::substrait::proto::ReadRel;
use datafusion_substrait::substrait::proto::read_rel::{ReadType, VirtualTable};
use datafusion_substrait::substrait::proto::r#type::Kind;
use datafusion_substrait::substrait::proto::{NamedStruct, Type};

use super::{Survey, no_enhancement, reference};
use crate::error::Result;
use crate::plan::substrait::{malformed, unsupported};

impl Survey<'_> {
    pub(super) fn read(&mut self, read: &mut ReadRel) -> Result<()> {
        let columns = read.base_schema.as_mut();
        match read.read_type.as_mut() {
            Some(ReadType::NamedTable(table)) => {
                no_enhancement(table.advanced_extension.as_ref())?;
                self.columns(columns)?;
                self.tables.push(reference(&table.names)?);
            }
            Some(ReadType::VirtualTable(table)) => {
                let width = self.columns(columns)?;
                self.rows(table, width)?;
            }
            Some(ReadType::LocalFiles(_)) => {
                return Err(unsupported("a ReadRel of LocalFiles")
                    .hint("create an external table over the files, and read it by its name"));
            }
            Some(ReadType::ExtensionTable(_)) => return Err(unsupported("a ReadRel of an ExtensionTable")),
            Some(ReadType::IcebergTable(_)) => return Err(unsupported("a ReadRel of an IcebergTable")),
            None => return Err(malformed("a ReadRel does not say what it reads")),
        }
        let chosen = read.projection.as_ref().and_then(|mask| mask.select.as_ref());
        if chosen.is_some_and(|columns| columns.struct_items.iter().any(|column| column.child.is_some())) {
            return Err(unsupported("a projection of parts of columns (MaskExpression) in a ReadRel"));
        }
        self.optional(&mut read.filter)
    }

    /// How many columns there are: each has a name, and so have the fields within it.
    fn columns(&self, columns: Option<&mut NamedStruct>) -> Result<usize> {
        let columns = columns.ok_or_else(|| malformed("a ReadRel has no base_schema"))?;
        let types = columns.r#struct.as_mut().ok_or_else(|| malformed("a base_schema has no types"))?;
        self.data_types(types)?;
        let (given, needed) = (columns.names.len(), types.types.iter().map(names_of).sum::<usize>());
        if given != needed {
            return Err(malformed(format!("a base_schema has {given} names, but its types take {needed}")));
        }
        Ok(types.types.len())
    }

    fn rows(&mut self, table: &mut VirtualTable, width: usize) -> Result<()> {
        #[expect(deprecated, reason = "older producers send rows of literals")]
        let literals = &mut table.values;
        let widths = literals.iter().map(|row| row.fields.len());
        let mut widths = widths.chain(table.expressions.iter().map(|row| row.fields.len()));
        if let Some(given) = widths.find(|given| *given != width) {
            return Err(malformed(format!("a row of a VirtualTable has {given} values for {width} columns")));
        }
        for row in literals {
            row.fields.iter_mut().try_for_each(|literal| self.literal(literal))?;
        }
        for row in &mut table.expressions {
            self.constants(&mut row.fields)?;
        }
        Ok(())
    }
}

fn names_of(data_type: &Type) -> usize {
    1 + names_within(data_type)
}

fn names_within(data_type: &Type) -> usize {
    let within = |inner: &Option<Box<Type>>| inner.as_deref().map_or(0, names_within);
    match &data_type.kind {
        Some(Kind::Struct(fields)) => fields.types.iter().map(names_of).sum(),
        Some(Kind::List(list)) => within(&list.r#type),
        Some(Kind::Map(map)) => within(&map.key) + within(&map.value),
        _ => 0,
    }
}
