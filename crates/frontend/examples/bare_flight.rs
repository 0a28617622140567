//! A Flight server that does nothing but hand out the batches of an Arrow file, from memory and by the encoder of
//! `arrow-flight`: what `tests/bench/flight.py` compares the door with. Prints its port.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::FileReader;
use arrow_flight::Ticket;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::server::FlightSqlService;
use arrow_flight::sql::{Any, SqlInfo};
use futures::{StreamExt, TryStreamExt, stream};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

#[derive(Debug, Clone)]
struct Bare {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

#[tonic::async_trait]
impl FlightSqlService for Bare {
    type FlightService = Self;

    async fn do_get_fallback(
        &self,
        _request: Request<Ticket>,
        _message: Any,
    ) -> Result<Response<<Self as FlightService>::DoGetStream>, Status> {
        let batches = stream::iter(self.batches.clone()).map(Ok);
        let encoder = FlightDataEncoderBuilder::new().with_schema(SchemaRef::clone(&self.schema));
        Ok(Response::new(encoder.build(batches).map_err(Status::from).boxed()))
    }

    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: bare_flight FILE.arrow")?;
    let reader = FileReader::try_new(File::open(path)?, None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<_, _>>()?;
    let service = TowerToHyperService::new(FlightServiceServer::new(Bare { schema, batches }));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service.clone());
        // The client goes away in the end.
        tokio::spawn(async move { connection.await.unwrap_or_default() });
    }
}
