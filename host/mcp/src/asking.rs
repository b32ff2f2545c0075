//! Questions to the client. In 2026-07-28 they are a result, and the client comes back with the answers; in the
//! older era they are requests of ours on the stream of its request, and it posts its answers.

use std::time::Duration;

use certosa_syscall::guest::{Answer as CellAnswer, Question, QuestionKind, Questions};
use futures_util::future::join_all;

use crate::exchange::{Answer, Kind};
use crate::render;
use crate::request::Request;
use crate::rpc::{self, quoted, response};
use crate::sessions::{self, Open};
use crate::state::Bound;
use crate::versions::Version;

impl Request<'_> {
    /// Ends the request with the questions, and the state for the client to carry.
    pub(crate) fn pass_on(&self, questions: &Questions, bound: &Bound<'_>) -> Answer {
        let sealed = questions.state.as_ref().map(|state| self.face.seal.close(state, bound));
        if sealed == Some(None) {
            return self.unavailable("the state could not be sealed");
        }
        let body = response(self.id, |body| {
            body.extend_from_slice(br#"{"resultType":"input_required","#);
            render::write_questions(&questions.ask, body);
            if let Some(Some(sealed)) = &sealed {
                body.extend_from_slice(format!(r#","requestState":"{sealed}""#).as_bytes());
            }
            body.push(b'}');
        });
        Answer::reply(Kind::Result, body)
    }

    /// Asks an older client everything at once and waits for all answers, or says why there are none.
    pub(crate) async fn ask_client(
        &self,
        session: &Open<'_>,
        questions: &Questions,
    ) -> Result<Vec<CellAnswer>, String> {
        let mut asked = Vec::new();
        for question in &questions.ask {
            let waiting = session.question().ok_or("the session has ended")?;
            self.outbox.push_needed(self.written(question, &waiting));
            asked.push((question, waiting));
        }
        let answers = asked.iter_mut().map(|(question, waiting)| async {
            match waiting.answer().await {
                Some(Ok(value)) => match certosa_model::parse_json(&value) {
                    Ok(_) => Ok(CellAnswer { id: question.id.clone(), value }),
                    Err(why) => Err(format!("the client's answer: {why}")),
                },
                Some(Err(why)) => Err(format!("the client refused to answer: {why}")),
                None => Err("the session has ended".to_owned()),
            }
        });
        let answer_s_max = self.face.house.limits().answer_s_max;
        let time = Duration::from_secs(answer_s_max.into());
        let answered = tokio::select! {
            answered = tokio::time::timeout(time, join_all(answers)) => answered,
            () = self.outbox.gone() => return Err("the client has gone away".to_owned()),
            () = self.face.closed() => return Err("the house is closing".to_owned()),
        };
        match answered {
            Ok(answers) => answers.into_iter().collect(),
            Err(_elapsed) => {
                let why = format!("the client did not answer within {answer_s_max} s (answerSMax)");
                for (_, waiting) in &asked {
                    let params = format!(r#"{{"requestId":{},"reason":{}}}"#, waiting.id, quoted(&why));
                    self.outbox.push(rpc::notification("notifications/cancelled", &params));
                }
                Err(why)
            }
        }
    }

    fn written(&self, question: &Question, waiting: &sessions::Question<'_>) -> bytes::Bytes {
        let (method, params) = match &question.kind {
            // There was one mode only, and no word for it.
            QuestionKind::Form(form) if self.version < Version::V2025_11_25 => {
                let (message, schema) = (quoted(&form.message), &form.schema);
                ("elicitation/create", format!(r#"{{"message":{message},"requestedSchema":{schema}}}"#))
            }
            // The id is for `notifications/elicitation/complete`, which nobody here can know to send.
            QuestionKind::Visit(visit) => {
                let (message, url, id) = (quoted(&visit.message), quoted(&visit.url), &waiting.id);
                let params = format!(r#"{{"mode":"url","message":{message},"url":{url},"elicitationId":{id}}}"#);
                ("elicitation/create", params)
            }
            kind => render::question(kind),
        };
        rpc::request(&waiting.id, method, &params)
    }
}
