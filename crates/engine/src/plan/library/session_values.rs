//! `current_user`, `current_catalog`, `current_schema` and their like: who asks, and where names are looked up.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::documentation;

/// The functions, with the values that they have for a session.
pub(crate) fn about_session(user: &str, catalog: &str, schema: &str) -> [Arc<ScalarUDF>; 3] {
    [
        Of::function("current_user", &["session_user", "current_role"], user, "Returns the name of the user who asks."),
        Of::function("current_catalog", &["current_database"], catalog, "Returns the catalog of names without one."),
        Of::function("current_schema", &[], schema, "Returns the schema of names without one."),
    ]
}

/// A value of the session. It is stable: another session's is another one, so what depends on it is not cached.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Of {
    name: &'static str,
    aliases: Vec<String>,
    value: String,
    signature: Signature,
    documentation: Documentation,
}

impl Of {
    fn function(name: &'static str, aliases: &[&str], value: &str, description: &str) -> Arc<ScalarUDF> {
        let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
        let signature = Signature::nullary(Volatility::Stable);
        let documentation = documentation(description, &[]);
        Arc::new(ScalarUDF::new_from_impl(Self { name, aliases, value: value.to_owned(), signature, documentation }))
    }
}

impl ScalarUDFImpl for Of {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name, DataType::Utf8, false)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::from(self.value.as_str())))
    }
}
