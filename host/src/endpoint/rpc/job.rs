//! `job.*`: one computation in one machine, as a BOINC wrapper needs it.

use super::{Context, Entry, deadline, fit_a_message, method};
use vocable_api::fault::Fault;
use vocable_api::job::{Action, Close, Control, GetStatus, JobState, Open, Status};
use vocable_api::method::invalid;

pub(super) fn methods() -> Vec<Entry> {
    vec![method(close), method(control), method(open), method(status)]
}

async fn open(context: Context, request: Open) -> Result<String, Fault> {
    fit_a_message(&context, "job.open", &request.spec)?;
    context.jobs.open(request.spec).await
}

async fn status(context: Context, request: GetStatus) -> Result<Status, Fault> {
    context.jobs.status(&request.job_id).await
}

async fn control(context: Context, request: Control) -> Result<JobState, Fault> {
    let Control { job_id, what, arg } = request;
    if what == Action::Throttle && arg.is_none() {
        return Err(invalid::<Control>("arg", "expected per cent of the processors"));
    }
    let state = context.jobs.control(&job_id, what, arg, deadline(&context, f64::MAX)).await?;
    Ok(JobState { state })
}

async fn close(context: Context, request: Close) -> Result<JobState, Fault> {
    Ok(JobState { state: context.jobs.close(&request.job_id).await? })
}
