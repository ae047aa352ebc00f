//! `fjord demo`: a real data set from raw files to gold, told step by step.
//!
//! ```text
//! landing (CDNOW + dirt) ─ 1_land ─ 2_clean ─ 3_build ─ 4_land_again ─ 2_clean ─ 3_build ─ 6_travel ─ 7_look
//! ```
//! All SQL is in the `.sql` files beside this one and goes through a session like anybody's.

mod landing;
mod steps;
mod workers;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use fjord_engine::foreign::definition::holds_password;

use self::landing::{Landing, write_landing};
use self::steps::{Pipeline, Step};
use self::workers::LocalWorkers;
use crate::cli::DemoArgs;
use crate::compose::Lakehouse;
use crate::config::ConfigError;
use crate::config::environment::variable;
use crate::report::{error_text, note};
use crate::shell::is_broken_pipe;

const LAND: Step =
    Step { sql: include_str!("1_land.sql"), title: "Bronze: land the first file as it came" };
const CLEAN: Step = Step {
    sql: include_str!("2_clean.sql"),
    title: "Silver: judge, type and trim; quarantine what is wrong",
};
const BUILD: Step =
    Step { sql: include_str!("3_build.sql"), title: "Gold: one row of metrics per customer" };
const LAND_AGAIN: Step = Step {
    sql: include_str!("4_land_again.sql"),
    title: "Bronze: the next month arrives, an append",
};
const CLEAN_AGAIN: Step = Step { title: "Silver: the same statements again", ..CLEAN };
const BUILD_AGAIN: Step = Step { title: "Gold: the same statement again", ..BUILD };
const TRAVEL: Step =
    Step { sql: include_str!("6_travel.sql"), title: "Time travel: bronze before and after" };
const LOOK: Step = Step { sql: include_str!("7_look.sql"), title: "What came of it" };
const FEDERATE: Step = Step {
    sql: include_str!("8_federate.sql"),
    title: "PostgreSQL: a mart written back, joined with the lake, and landed",
};
/// Where the password of the demo's database is.
const PASSWORD: &str = "PGPASSWORD";
/// What is left behind in the database, and how it goes away.
const AFTERWARDS: &str = "
  The database is now a catalog of this data directory:
    SHOW TABLES FROM demo_postgres.public;
    DROP TABLE demo_postgres.public.fjord_demo_segments;
    DROP CATALOG demo_postgres;";
const SNAPSHOTS: &str = include_str!("5_snapshots.sql");

/// Runs the demo.
///
/// # Errors
/// A [`ConfigError`] for a URL with a password in it.
pub(crate) async fn run(lakehouse: &Lakehouse, arguments: &DemoArgs) -> Result<ExitCode> {
    // Before the demo could show a statement that holds it.
    if arguments.postgres.as_deref().is_some_and(holds_password) {
        let problem = format!(
            "the URL holds a password; accepted: postgres://USER@HOST:PORT/DATABASE, and the password \
             in the variable {PASSWORD}"
        );
        return Err(ConfigError::new("--postgres (or FJORD_DEMO_POSTGRES)", "", problem).into());
    }
    let work = Box::pin(tell(lakehouse, arguments));
    tokio::select! {
        told = work => match told {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(e) if is_broken_pipe(&e) => Ok(ExitCode::SUCCESS),
            Err(e) => {
                note(&error_text(e.as_ref()));
                Ok(ExitCode::FAILURE)
            }
        },
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            note("cancelled; run it again whenever you like");
            Ok(ExitCode::from(130))
        }
    }
}

async fn tell(lakehouse: &Lakehouse, arguments: &DemoArgs) -> Result<()> {
    let workers = match arguments.workers {
        0 => None,
        count => Some(LocalWorkers::start(lakehouse, count).await?),
    };
    let started = Instant::now();
    let landing = write_landing(&lakehouse.data_dir().join("demo"))?;
    introduce(&landing)?;
    let mut pipeline = Pipeline::new(lakehouse.session());
    if pipeline.has_run_before().await {
        say(
            "The tables of an earlier demo are here: they are replaced, and their history is kept.\n",
        )?;
    }
    pipeline.define("first", &quoted(&landing.first.to_string_lossy()));
    pipeline.define("second", &quoted(&landing.second.to_string_lossy()));
    for step in [LAND, CLEAN, BUILD, LAND_AGAIN, CLEAN_AGAIN, BUILD_AGAIN] {
        pipeline.run(step).await?;
    }
    let before = pipeline.previous_snapshot(SNAPSHOTS).await?;
    pipeline.define("snapshot", &before.to_string());
    for step in [TRAVEL, LOOK] {
        pipeline.run(step).await?;
    }
    if let Some(url) = &arguments.postgres {
        pipeline.define("options", &database_options(url));
        pipeline.run(FEDERATE).await?;
    }
    if let (Some(workers), Some(cluster)) = (&workers, lakehouse.engine().cluster()) {
        let stages = cluster.stages();
        let tasks: u64 = stages.iter().map(|stage| stage.tasks).sum();
        say(&format!(
            "\nOn workers: {} stages in {tasks} tasks, on {}.",
            stages.len(),
            workers.addresses().join(" and ")
        ))?;
    }
    say(&format!("\nDone in {:.1} s.\n", started.elapsed().as_secs_f64()))?;
    recommend(lakehouse, before)?;
    if arguments.postgres.is_some() {
        say(AFTERWARDS)?;
    }
    Ok(())
}

/// The options of the demo's database. The password stays where it is, in a variable.
fn database_options(url: &str) -> String {
    let password = if variable(PASSWORD).is_some_and(|password| !password.is_empty()) {
        format!(", password = env('{PASSWORD}')")
    } else {
        String::new()
    };
    format!("url = '{}'{password}", quoted(url))
}

fn introduce(landing: &Landing) -> Result<()> {
    say(&format!(
        "Every purchase at the music shop CDNOW, January 1997 to June 1998, by people who bought
first in early 1997 (public data, MIT licence). Order numbers, e-mail addresses and
countries are invented, and about one row in twelve is spoilt on purpose, always the same
ones: {spoilt} rows with a missing customer, an impossible or future date, a bad or negative
amount, blanks or odd capitals; and some orders come twice.

  {first}  {first_rows} rows
  {second}  {second_rows} rows\n",
        spoilt = landing.spoilt_rows,
        first = landing.first.display(),
        first_rows = landing.first_rows,
        second = landing.second.display(),
        second_rows = landing.second_rows,
    ))
}

fn recommend(lakehouse: &Lakehouse, before: i64) -> Result<()> {
    say(&format!(
        "
What to try next
  fjord sql --data-dir '{data_dir}'
    SELECT * FROM gold.customer_metrics ORDER BY purchase_frequency DESC LIMIT 10;
    SELECT * FROM silver.rejected_purchases WHERE reason = 'negative amount';
    SELECT count(*) FROM bronze.purchases FOR VERSION AS OF {before};
    SELECT * FROM silver.\"purchases$partitions\";
    COPY (SELECT * FROM gold.customer_metrics) TO 'metrics.parquet' (FORMAT parquet);
  The tables are plain Iceberg; PyIceberg opens the same catalog while Fjord runs:
    SqlCatalog(\"iceberg\", uri=\"sqlite:///{data_dir}/catalog.db\")",
        data_dir = lakehouse.data_dir().display(),
    ))
}

fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Ready to stand between single quotes.
fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}
