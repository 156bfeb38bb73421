"""The queue: Procrastinate's own schema, and the one way in which a tenant's transaction defers a job."""

from alembic import op
from procrastinate.schema import SchemaManager

from bellbird.core.engine import APP_ROLE, SYSTEM_ROLE

revision = "0004"
down_revision = "0003"

# Its tables have a PostgreSQL schema of their own, so that a host application may use Procrastinate in the same
# database. Its functions name no schema: each is told where to look, whoever calls it or sets off its trigger.
SETTLE = f"""
do $$
declare each record;
begin
  for each in select oid::regprocedure as it from pg_proc where pronamespace = 'procrastinate'::regnamespace loop
    execute format('alter function %s set search_path = pg_catalog, procrastinate, pg_temp', each.it);
    execute format('revoke all on function %s from public', each.it);
  end loop;
end $$;
grant usage on schema procrastinate to {SYSTEM_ROLE};
grant select, insert, update, delete on all tables in schema procrastinate to {SYSTEM_ROLE};
grant usage on all sequences in schema procrastinate to {SYSTEM_ROLE};
grant execute on all functions in schema procrastinate to {SYSTEM_ROLE};
"""

# Of jobs that have a queueing lock in common, one waits: the one that is there already is held until the transaction
# is over, so that it cannot start without seeing what the transaction wrote, and workers are told to look again.
# Locks are a tenant's own: another's of the same name neither waits for them nor is left out because of them.
DEFER = """
create function procrastinate.defer_job(
  tenant uuid, job_task text, job_queue text, job_args jsonb, job_priority integer, job_lock text,
  job_queueing_lock text, job_at timestamptz
) returns bigint language plpgsql as $$
declare
  own text := coalesce(tenant::text || ':', '');
  deferred bigint;
  news text;
begin
  insert into procrastinate_jobs as job (queue_name, task_name, args, priority, lock, queueing_lock, scheduled_at)
  values (
    job_queue, job_task, job_args || jsonb_strip_nulls(jsonb_build_object('tenant_id', tenant)), job_priority,
    own || job_lock, own || job_queueing_lock, job_at
  )
  on conflict (queueing_lock) where status = 'todo' do update
  set priority = greatest(job.priority, excluded.priority),
    scheduled_at = case
      when job.scheduled_at is not null and excluded.scheduled_at is not null
      then least(job.scheduled_at, excluded.scheduled_at) end
  returning id into deferred;
  news := json_build_object('type', 'job_inserted', 'job_id', deferred);
  perform pg_notify('procrastinate_queue_v1#' || job_queue, news);
  perform pg_notify('procrastinate_any_queue_v1', news);
  return deferred;
end $$;
"""

# Back to the queue: what failed and is to be tried again, what its worker could not finish before it had to stop, and
# what a worker left behind that was killed. Where another of its queueing lock waits by now, both will run.
GIVE_BACK = """
create function procrastinate.give_back(given bigint, by_worker bigint, at timestamptz, counted boolean)
returns boolean language plpgsql as $$
declare
  mine procrastinate_jobs;
begin
  select * into mine from procrastinate_jobs
  where id = given and status = 'doing' and worker_id is not distinct from by_worker for update;
  if mine.id is null then
    return false;
  end if;
  if mine.abort_requested then
    update procrastinate_jobs set status = 'aborted', abort_requested = false where id = given;
    return true;
  end if;
  begin
    update procrastinate_jobs
    set status = 'todo', attempts = attempts + counted::integer, scheduled_at = at, worker_id = null where id = given;
  exception when unique_violation then
    update procrastinate_jobs
    set status = 'todo', attempts = attempts + counted::integer, scheduled_at = at, worker_id = null,
      queueing_lock = null
    where id = given;
  end;
  perform pg_notify(
    'procrastinate_any_queue_v1', json_build_object('type', 'job_inserted', 'job_id', given)::text);
  perform pg_notify(
    'procrastinate_queue_v1#' || mine.queue_name, json_build_object('type', 'job_inserted', 'job_id', given)::text);
  return true;
end $$;
"""

# Procrastinate keeps how often a job was tried, but not why it failed. And whoever lists the jobs of a tenant, or
# wants to know what has waited longest, does not read all that was done in a week.
FAILURES = """
create table job_failures (
  job_id bigint primary key references procrastinate_jobs on delete cascade,
  at timestamptz not null default now(),
  reason text not null
);
create index jobs_of_tenant on procrastinate_jobs ((args ->> 'tenant_id'), id) where args ->> 'tenant_id' is not null;
"""

# A tenant's transaction defers its own jobs, and learns nothing of any other.
DEFER_OWN = f"""
create function defer_job(
  tenant uuid, job_task text, job_queue text, job_args jsonb, job_priority integer, job_lock text,
  job_queueing_lock text, job_at timestamptz
) returns bigint
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  if tenant is distinct from current_setting('app.tenant_id')::uuid then
    raise exception 'defer_job: not this transaction''s tenant' using errcode = 'insufficient_privilege';
  end if;
  return procrastinate.defer_job(
    tenant, job_task, job_queue, job_args, job_priority, job_lock, job_queueing_lock, job_at);
end $$;
grant create on schema public to {SYSTEM_ROLE};
alter function defer_job owner to {SYSTEM_ROLE};
revoke create on schema public from {SYSTEM_ROLE};
revoke all on function defer_job from public;
grant execute on function defer_job to {APP_ROLE};
"""


def upgrade() -> None:
    # Past SQLAlchemy, which looks for parameters in what it sends.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    (before,) = connection.execute("show search_path").fetchone()
    connection.execute("create schema procrastinate")
    connection.execute("set local search_path to procrastinate, pg_catalog")
    for statement in [SchemaManager.get_schema(), DEFER, GIVE_BACK, FAILURES]:
        connection.execute(statement)
    connection.execute(f"set local search_path to {before}")
    for statement in [SETTLE, DEFER_OWN]:
        connection.execute(statement)
