// The messages of turnwire.v1 as types; nothing here runs, no module loads it.
//
// GENERATED from protocol/schema by `python -m turnwire_protocol.typedefs`: do not edit. What the
// messages mean is in protocol/PROTOCOL.md.

/**
 * Stop a turn.
 * @typedef {object} Cancel
 * @property {string} [turn]
 * @property {string} [key]
 * @property {string} id
 * @property {"cancel"} type
 * @property {string} conversation
 */

/**
 * A tool that runs in the sending client.
 * @typedef {object} ClientTool
 * @property {string} name
 * @property {string} description
 * @property {object} input_schema
 */

/**
 * Allow or deny a tool call.
 * @typedef {object} Decide
 * @property {string} tool_id
 * @property {"allow" | "deny"} decision
 * @property {object} [input]
 * @property {string} [reason]
 * @property {string} id
 * @property {"decide"} type
 * @property {string} conversation
 */

/**
 * A document inside `content`.
 * @typedef {object} DocumentBlock
 * @property {string} blob
 * @property {number} bytes
 * @property {string} [name]
 * @property {"document"} type
 * @property {"application/pdf"} media_type
 * @property {boolean} [citations] whether the answer is to say what of it stands where in the document
 */

/**
 * A document inside `content` that is somewhere else.
 * @typedef {object} DocumentLink
 * @property {string} [url]
 * @property {string} [file] the id of a file of the provider's Files API
 * @property {string} [name]
 * @property {"document"} type
 * @property {boolean} [citations] whether the answer is to say what of it stands where in the document
 */

/**
 * Credentials, where the server wants them after the upgrade.
 * @typedef {object} Hello
 * @property {string} id
 * @property {"hello"} type
 * @property {string} token
 */

/**
 * An image inside `content`.
 * @typedef {object} ImageBlock
 * @property {string} blob
 * @property {number} bytes
 * @property {string} [name]
 * @property {"image"} type
 * @property {"image/png" | "image/jpeg" | "image/gif" | "image/webp"} media_type
 */

/**
 * An image inside `content` that is somewhere else.
 * @typedef {object} ImageLink
 * @property {string} [url]
 * @property {string} [file] the id of a file of the provider's Files API
 * @property {string} [name]
 * @property {"image"} type
 */

/**
 * What the answer is to be: JSON that fits this JSON Schema (structured output).
 * @typedef {object} OutputFormat
 * @property {"json_schema"} type
 * @property {object} schema
 */

/**
 * Is anyone there?
 * @typedef {object} Ping
 * @property {string} id
 * @property {"ping"} type
 */

/**
 * Tell the readers how far a client's tool is.
 * @typedef {object} Progress
 * @property {string} tool_id
 * @property {string} runner
 * @property {string} message
 * @property {number} [fraction]
 * @property {string} id
 * @property {"progress"} type
 * @property {string} conversation
 */

/**
 * A user's message: begins a turn.
 * @typedef {object} Send
 * @property {string | ReadonlyArray<TextBlock | ImageBlock | DocumentBlock | ImageLink | DocumentLink>} content
 * @property {string} [key] the same key twice is one send
 * @property {string} [conversation] absent: a new one
 * @property {string} [model]
 * @property {string} [system]
 * @property {number} [max_tokens]
 * @property {ThinkingOption} [thinking]
 * @property {"low" | "medium" | "high" | "xhigh" | "max"} [effort] how hard the model tries
 * @property {number} [temperature]
 * @property {number} [top_p]
 * @property {number} [top_k]
 * @property {ReadonlyArray<string>} [stop_sequences] texts that end the answer
 * @property {ToolChoice} [tool_choice]
 * @property {OutputFormat} [output_format]
 * @property {ReadonlyArray<string>} [tools] names of the server's tools to offer; absent: all
 * @property {ReadonlyArray<ClientTool>} [client_tools] tools that run in this client
 * @property {string} [runner] this client's own random id
 * @property {"reject" | "queue" | "interrupt"} [if_busy] what to do while a turn runs or waits
 * @property {string} [retract] a turn: it and all after it become void first
 * @property {"continue" | "cancel"} [on_detach] what becomes of the turn when nobody follows any more
 * @property {string} [trace] the `traceparent` of the trace in which the turn is to be
 * @property {string} id
 * @property {"send"} type
 * @property {"conversation" | "turn"} [follow] how long the subscription lasts that it begins
 */

/**
 * Follow a conversation from after `after`; replaces this connection's earlier subscription.
 * @typedef {object} Subscribe
 * @property {string} id
 * @property {"subscribe"} type
 * @property {string} conversation
 * @property {number} [after]
 * @property {number} [last]
 * @property {string} [epoch]
 * @property {string} [runner]
 */

/**
 * A block of text inside `content`.
 * @typedef {object} TextBlock
 * @property {"text"} type
 * @property {string} text
 */

/**
 * How the model thinks, in the form of the Messages API's `thinking` parameter.
 * @typedef {object} ThinkingOption
 * @property {"adaptive" | "enabled" | "disabled"} type
 * @property {number} [budget_tokens]
 * @property {"summarized" | "omitted"} [display]
 */

/**
 * Whether the model calls a tool in its first step, in the form of the Messages API.
 * @typedef {object} ToolChoice
 * @property {"auto" | "any" | "tool" | "none"} type
 * @property {string} [name] with `tool`: which
 * @property {boolean} [disable_parallel_tool_use] at most one call at a time
 */

/**
 * Give the result of a client's tool back into the running turn.
 * @typedef {object} ToolOutput
 * @property {string} tool_id
 * @property {string} runner
 * @property {string | ReadonlyArray<TextBlock | ImageBlock | DocumentBlock | ImageLink | DocumentLink>} content
 * @property {boolean} [is_error]
 * @property {string} id
 * @property {"tool_output"} type
 * @property {string} conversation
 */

/**
 * Stop following a conversation.
 * @typedef {object} Unsubscribe
 * @property {string} id
 * @property {"unsubscribe"} type
 * @property {string} conversation
 */

/**
 * A command: client to server.
 * @typedef {Hello | Send | Cancel | Subscribe | Unsubscribe | Decide | ToolOutput | Progress | Ping} Command
 */

/**
 * The block is complete.
 * @typedef {object} BlockStopEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"block_stop"} type
 * @property {number} block
 * @property {ReadonlyArray<Citation>} [citations] where what a text block says was read
 */

/**
 * Where a text block's statement was read. What there is of it depends on what was cited.
 * @typedef {object} Citation
 * @property {string} [cited_text]
 * @property {string} [title]
 * @property {string} [url]
 * @property {number} [document] which of the documents the model was shown, from 0
 * @property {"char" | "page" | "block"} [unit] what `start` and `end` count; pages from 1, others from 0
 * @property {number} [start]
 * @property {number} [end] exclusive
 */

/**
 * Older messages were summarised: the model is shown the summary in their place from now on.
 * @typedef {object} CompactionEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"compaction"} type
 * @property {number} block
 * @property {string} summary
 */

/**
 * The one terminal event of a turn.
 * @typedef {object} DoneEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"done"} type
 * @property {string} stop_reason
 * @property {TotalUsage} usage
 * @property {number} steps
 * @property {number} duration_ms
 * @property {number} [cost_usd]
 * @property {Refusal} [refusal]
 * @property {string} [stop_sequence] the one of the send's that ended the answer
 * @property {unknown} [output] what the answer says, where its send had an `output_format`
 */

/**
 * Why the turn fails; `done {failed}` follows.
 * @typedef {object} ErrorEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"error"} type
 * @property {string} code
 * @property {string} message
 * @property {boolean} retryable
 * @property {number} [retry_after_seconds]
 * @property {string} [request_id] the provider's id of the failed request, for its support
 */

/**
 * A call within a call: of a model that declined, an advisor, a summary; an open set.
 * @typedef {object} Iteration
 * @property {string} type
 * @property {string} [model]
 * @property {number} input_tokens
 * @property {number} output_tokens
 * @property {number} cache_read_input_tokens
 * @property {number} cache_creation_input_tokens
 * @property {number} [cache_creation_1h_input_tokens]
 */

/**
 * A user's message was accepted; it may wait behind a running turn.
 * @typedef {object} MessageEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"message"} type
 * @property {"user"} role
 * @property {string | ReadonlyArray<TextBlock | ImageBlock | DocumentBlock | ImageLink | DocumentLink>} content
 * @property {string} [key]
 */

/**
 * Why the model refused, as far as its provider says; `category` is an open set.
 * @typedef {object} Refusal
 * @property {string} [category]
 * @property {string} [explanation]
 */

/**
 * Turn `from_turn` and all after it are void.
 * @typedef {object} RetractEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"retract"} type
 * @property {string} from_turn
 */

/**
 * An attempt failed in a way worth another, which begins in `delay_seconds`.
 * @typedef {object} RetryEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"retry"} type
 * @property {number} step
 * @property {number} attempt the attempt that failed
 * @property {number} delay_seconds
 * @property {string} code
 * @property {string} message
 * @property {string} [request_id] the provider's id of the failed request, for its support
 */

/**
 * The blocks of this turn from `block` on are void.
 * @typedef {object} RewindEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"rewind"} type
 * @property {number} block
 */

/**
 * The turn begins to run.
 * @typedef {object} StartEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"start"} type
 * @property {string} model
 */

/**
 * A call of the model begins.
 * @typedef {object} StepEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"step"} type
 * @property {number} step
 * @property {number} attempt
 * @property {string} model
 * @property {true} [compacts] the call answers nothing: it summarises older messages
 */

/**
 * The model thinks.
 * @typedef {object} ThinkingEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {number} [span]
 * @property {number} block
 * @property {"thinking"} type
 * @property {string} text
 */

/**
 * Text of the answer.
 * @typedef {object} TokenEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {number} [span]
 * @property {number} block
 * @property {"token"} type
 * @property {string} text
 */

/**
 * Somebody must decide whether the tool may run; `expires_at` is for display only.
 * @typedef {object} ToolApprovalEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"tool_approval"} type
 * @property {string} tool_id
 * @property {string} tool_name
 * @property {Record<string, unknown>} input
 * @property {string} expires_at
 */

/**
 * It was decided, or it expired (`deny`).
 * @typedef {object} ToolDecisionEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"tool_decision"} type
 * @property {string} tool_id
 * @property {"allow" | "deny"} decision
 * @property {Record<string, unknown>} [input]
 * @property {string} [reason]
 */

/**
 * The tool runs now. Of clients, only `runner` runs it, once per `tool_id`.
 * @typedef {object} ToolExecutingEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"tool_executing"} type
 * @property {string} tool_id
 * @property {string} tool_name
 * @property {Record<string, unknown>} input
 * @property {"server" | "client" | "provider"} runs_on
 * @property {string} [runner]
 */

/**
 * A piece of a tool call's input.
 * @typedef {object} ToolInputEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {number} [span]
 * @property {number} block
 * @property {"tool_input"} type
 * @property {string} tool_id
 * @property {string} partial_json
 */

/**
 * The running tool reports; `fraction` is from 0 to 1.
 * @typedef {object} ToolProgressEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"tool_progress"} type
 * @property {string} tool_id
 * @property {string} message
 * @property {number} [fraction]
 */

/**
 * A tool's result, as the model is shown it.
 * @typedef {object} ToolResultEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"tool_result"} type
 * @property {string} tool_id
 * @property {string | ReadonlyArray<TextBlock | ImageBlock | DocumentBlock | ImageLink | DocumentLink>} content
 * @property {boolean} is_error
 * @property {number} duration_ms
 * @property {ReadonlyArray<string>} [files] ids of files that the provider's tool made: `GET /v1/conversations/{conversation}/files/{id}`
 */

/**
 * The model named a tool. An announcement: its input is still coming and nothing runs yet.
 * @typedef {object} ToolStartEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {"tool_start"} type
 * @property {number} block
 * @property {string} tool_id
 * @property {string} tool_name
 * @property {"server" | "client" | "provider"} runs_on
 */

/**
 * Token counts summed over the steps and attempts of a turn.
 * @typedef {object} TotalUsage
 * @property {number} [cache_creation_1h_input_tokens] those of `cache_creation_input_tokens` kept for an hour
 * @property {number} [thinking_tokens] those of `output_tokens` that the model thought
 * @property {number} [web_fetch_requests]
 * @property {number} [web_search_requests]
 * @property {number} [input_tokens]
 * @property {number} [output_tokens]
 * @property {number} [cache_read_input_tokens]
 * @property {number} [cache_creation_input_tokens]
 * @property {true} [estimated]
 */

/**
 * Token counts of one attempt so far, at its start and at its end.
 * @typedef {object} UsageEvent
 * @property {string} conversation
 * @property {number} seq position in the log; of a merged event, its last part's
 * @property {string} turn
 * @property {string} at RFC 3339, UTC
 * @property {number} [cache_creation_1h_input_tokens] those of `cache_creation_input_tokens` kept for an hour
 * @property {number} [thinking_tokens] those of `output_tokens` that the model thought
 * @property {number} [web_fetch_requests]
 * @property {number} [web_search_requests]
 * @property {"usage"} type
 * @property {number} step
 * @property {number} attempt
 * @property {number} input_tokens
 * @property {number} output_tokens
 * @property {number} cache_read_input_tokens
 * @property {number} cache_creation_input_tokens
 * @property {number} [context_tokens] how much of the model's window is taken now
 * @property {number} [context_window] the model's window, where it is known
 * @property {string} [model] the model that answers, where it is not the step's
 * @property {string} [service_tier]
 * @property {ReadonlyArray<Iteration>} [iterations] calls within this one, which the counts include
 */

/**
 * An event: server to client. Of another type: ignore it.
 * @typedef {MessageEvent | StartEvent | StepEvent | ThinkingEvent | TokenEvent | ToolStartEvent | ToolInputEvent
 *   | BlockStopEvent | CompactionEvent | UsageEvent | ToolApprovalEvent | ToolDecisionEvent | ToolExecutingEvent
 *   | ToolProgressEvent | ToolResultEvent | RetryEvent | RewindEvent | RetractEvent | ErrorEvent | DoneEvent} Event
 */

/**
 * The command took effect. Which fields are present depends on the command.
 * @typedef {object} Ack
 * @property {"ack"} type
 * @property {string} id
 * @property {string} [conversation]
 * @property {string} [turn]
 * @property {number} [seq]
 * @property {string} [epoch]
 * @property {number} [after]
 * @property {number} [head]
 * @property {"cancelling" | "queued_removed" | "already_done"} [outcome]
 */

/**
 * A subscription has ended.
 * @typedef {object} Closed
 * @property {"closed"} type
 * @property {string} conversation
 * @property {string} code
 * @property {boolean} retryable
 */

/**
 * The server drains: start nothing, keep reading until 1012, then reconnect.
 * @typedef {object} GoingAway
 * @property {"going_away"} type
 * @property {number} reconnect_after_seconds
 */

/**
 * What the server bounds; sizes in bytes of UTF-8.
 * @typedef {object} Limits
 * @property {number} max_frame_bytes
 * @property {number} max_subscriptions
 * @property {number} max_running_turns
 * @property {number} max_commands_per_second
 * @property {number} [max_blob_bytes]
 */

/**
 * The answer to `ping`.
 * @typedef {object} Pong
 * @property {"pong"} type
 * @property {string} id
 */

/**
 * The command took no effect. `id` is absent only where the command had no usable one.
 * @typedef {object} Reject
 * @property {"reject"} type
 * @property {string} [id]
 * @property {string} code
 * @property {string} message
 * @property {boolean} retryable
 * @property {number} [retry_after_seconds]
 */

/**
 * Your cursor is not in this log: drop the conversation, it is replayed from the start.
 * @typedef {object} Reset
 * @property {"reset"} type
 * @property {string} conversation
 * @property {string} epoch
 * @property {string} reason
 */

/**
 * The first message: commands may follow.
 * @typedef {object} Welcome
 * @property {"welcome"} type
 * @property {string} [protocol]
 * @property {Limits} limits
 * @property {ReadonlyArray<string>} models
 * @property {ReadonlyArray<string>} [client_options]
 * @property {number} heartbeat_seconds
 * @property {boolean} [demo]
 */

/**
 * A message about the connection. Of another type: ignore it.
 * @typedef {Welcome | Ack | Reject | Pong | Reset | Closed | GoingAway} Reply
 */

/** @typedef {MessageEvent["content"]} Content */
/** @typedef {Exclude<Content, string>[number]} ContentBlock */
/** @typedef {ImageBlock | DocumentBlock} AttachmentBlock */
/** @typedef {ImageLink | DocumentLink} LinkBlock */
/** @typedef {ToolStartEvent["runs_on"]} RunsOn */
/** @typedef {NonNullable<Ack["outcome"]>} CancelOutcome */

export {};
