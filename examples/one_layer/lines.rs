//! A wire of one's own: a line asks, a line answers. Everything above it, from the deadline to the breaker, is the
//! client's page, and `/platform/stack` shows it.

use std::sync::Arc;

use platform_core::{
    App, Context, Error, ErrorKind, Outcome, Result, Verdict,
    call::{Call, Guard, Reply},
    context,
    stack::{Asked, ClientPolicy, ClientStack, Row, Sending, Storey, Targets, Wire},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::Instant,
};

#[derive(Clone)]
pub(super) struct Lines {
    stack: ClientStack,
    way: Arc<Way>,
}

/// Where the lines go.
struct Way(Arc<str>);

impl Lines {
    /// The path to `target`, which listens at `address`.
    pub(super) fn new(app: &App, target: &str, address: &str) -> Result<Lines> {
        let parts = Targets::of(app).parts(app, &Arc::from(target));
        let stack = ClientStack::new(ClientPolicy::default(), parts)?;
        Ok(Lines { stack, way: Arc::new(Way(Arc::from(address))) })
    }

    /// Asks, and asks again what may be asked twice.
    pub(super) async fn ask(&self, line: &str) -> Result<String> {
        let question = Question { context: context::inherit(Instant::now()), line: Arc::from(line) };
        Ok(self.stack.call(question, &*self.way).await?.reply.line)
    }
}

impl Wire for Way {
    type Call = Question;
    type Reply = Answer;

    async fn send(&self, question: &mut Sending<Question>, asked: &Asked) -> Result<Answer> {
        asked.set(&self.0); // an attempt that is cut off names who was silent
        let unreachable = |error| Error::new(ErrorKind::Unreachable, "no connection").with_source(error);
        let lost = |error| Error::new(ErrorKind::Upstream, "the connection was lost").with_source(error);
        let mut stream = BufReader::new(TcpStream::connect(&*self.0).await.map_err(unreachable)?);
        stream.write_all(format!("{}\n", question.take().line).as_bytes()).await.map_err(lost)?;
        let mut line = String::new();
        stream.read_line(&mut line).await.map_err(lost)?;
        if !line.ends_with('\n') {
            return Err(Error::new(ErrorKind::Upstream, "the connection ended before the line did"));
        }
        let mut answer = Answer { line: line.trim_end().to_owned(), verdict: None };
        answer.judge(Verdict::new(Outcome::Success, Instant::now()));
        Ok(answer)
    }

    fn describe(&self) -> Vec<Row> {
        vec![Row::new(Storey::Endpoint, "lines", "Which line is written?")]
    }
}

/// What is asked. All of it is at hand, and nothing is changed by asking.
pub(super) struct Question {
    context: Context,
    line: Arc<str>,
}

impl Call for Question {
    fn context(&self) -> &Context {
        &self.context
    }

    fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    fn repeat(&self, _body: u64) -> Option<Self> {
        Some(Question { context: self.context.clone(), line: Arc::clone(&self.line) })
    }

    fn idempotent(&self) -> bool {
        true
    }
}

/// What was said. It is here as a whole, so that nothing is held for it.
pub(super) struct Answer {
    line: String,
    verdict: Option<Verdict>,
}

impl Reply for Answer {
    fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    fn judge(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
    }

    fn hold(&mut self, guard: Guard) {
        drop(guard);
    }
}
