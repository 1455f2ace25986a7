//! What VirtualBox measures of a machine.

use crate::calls;
use crate::com::Com;
use crate::error::Error;
use crate::model::Metric;
use crate::xpcom::{FromOut, In, Object, Out};
use std::time::Duration;

const EVERY: &[&str] = &["*"];

/// Samples that VirtualBox keeps.
const SAMPLES: u32 = 2;

/// Lets VirtualBox measure a machine from now on, once in that time (whole seconds, one at least).
pub(crate) fn watch(com: &Com, which: &str, period: Duration) -> Result<(), Error> {
    let call = &calls::SETUP_METRICS;
    let period = u32::try_from(period.as_secs().max(1)).unwrap_or(u32::MAX);
    let machine = [com.find(which)?.identity(call)?];
    let given = [In::Texts(EVERY), In::Objects(&machine), In::U32(period), In::U32(SAMPLES)];
    collector(com)?.run(call, &given)
}

/// What was measured last.
pub(crate) fn metrics(com: &Com, which: &str) -> Result<Vec<Metric>, Error> {
    let call = &calls::QUERY_METRICS;
    let machine = [com.find(which)?.identity(call)?];
    let given = collector(com)?.call(call, &[In::Texts(EVERY), In::Objects(&machine)])?;
    let [names, _, units, scales, _, first, lengths, data] = <[Out; 8]>::try_from(given)
        .map_err(|_| Error::Invalid { what: call.name, reason: "it gave something else".to_owned() })?;
    let names = Vec::<String>::from_out(names, call)?;
    let units = Vec::<String>::from_out(units, call)?;
    let scales = Vec::<u32>::from_out(scales, call)?;
    let first = Vec::<u32>::from_out(first, call)?;
    let lengths = Vec::<u32>::from_out(lengths, call)?;
    let data = Vec::<i32>::from_out(data, call)?;
    let last = |index: usize| {
        let sample = first.get(index)?.checked_add(*lengths.get(index)?)?.checked_sub(1)?;
        let scale = *scales.get(index)?;
        (*lengths.get(index)? > 0 && scale > 0)
            .then_some(f64::from(*data.get(sample as usize)?) / f64::from(scale))
    };
    let named = names.into_iter().zip(units).enumerate();
    Ok(named.filter_map(|(index, (name, unit))| Some(Metric { name, unit, value: last(index)? })).collect())
}

fn collector(com: &Com) -> Result<Object, Error> {
    com.virtualbox()?.get(&calls::COLLECTOR, &[])
}
