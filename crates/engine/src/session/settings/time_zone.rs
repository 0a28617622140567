//! `time_zone`

use super::Setting;

use arrow::array::timezone::Tz;

pub(super) static SETTING: Setting = Setting {
    name: "time_zone",
    aliases: &["timezone", "datafusion.execution.time_zone"],
    kind: "time zone",
    default: "UTC",
    doc: "The time zone of timestamps with time zone, as an IANA name or an offset.",
    apply: |text, resolved| {
        text.parse::<Tz>()
            .map_err(|_| "accepted are IANA names such as Europe/Berlin, and offsets such as +02:00".to_owned())?;
        resolved.time_zone = text.to_owned();
        resolved.config.options_mut().execution.time_zone = Some(text.to_owned());
        Ok(())
    },
};
