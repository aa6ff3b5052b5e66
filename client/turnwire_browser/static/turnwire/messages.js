// The messages of turnwire.v1 as types (protocol/PROTOCOL.md); nothing here runs, no module loads it.

/** @typedef {{type: "text", text: string}} TextBlock */
/** @typedef {{type: "image" | "document", blob: string, media_type: string, bytes: number, name?: string}} AttachmentBlock its bytes are had over HTTP */
/** @typedef {TextBlock | AttachmentBlock} ContentBlock */
/** @typedef {string | ReadonlyArray<ContentBlock>} Content */
/** @typedef {{name: string, description: string, input_schema: object}} ClientTool */
/** @typedef {"server" | "client" | "provider"} RunsOn */

/** @typedef {{conversation: string, seq: number, turn: string}} Place where an event stands */
/** @typedef {Place & {at: string}} Dated */
/** @typedef {Place & {block: number, span?: number}} Piece neighbours of one block merge */

/** @typedef {Dated & {type: "message", role: "user", content: Content, key?: string}} MessageEvent */
/** @typedef {Dated & {type: "start", model: string}} StartEvent */
/** @typedef {Dated & {type: "step", step: number, attempt: number, model: string}} StepEvent */
/** @typedef {Piece & {type: "thinking", text: string}} ThinkingEvent */
/** @typedef {Piece & {type: "token", text: string}} TokenEvent */
/** @typedef {Dated & {type: "tool_start", block: number, tool_id: string, tool_name: string, runs_on: RunsOn}} ToolStartEvent */
/** @typedef {Piece & {type: "tool_input", tool_id: string, partial_json: string}} ToolInputEvent */
/** @typedef {Dated & {type: "block_stop", block: number}} BlockStopEvent */
/** @typedef {{input_tokens: number, output_tokens: number, cache_read_input_tokens: number, cache_creation_input_tokens: number}} Counts */
/** @typedef {Dated & Counts & {type: "usage", step: number, attempt: number}} UsageEvent */
/** @typedef {Dated & {type: "tool_approval", tool_id: string, tool_name: string, input: Record<string, unknown>, expires_at: string}} ToolApprovalEvent */
/** @typedef {Dated & {type: "tool_decision", tool_id: string, decision: "allow" | "deny", input?: Record<string, unknown>, reason?: string}} ToolDecisionEvent */
/** @typedef {Dated & {type: "tool_executing", tool_id: string, tool_name: string, input: Record<string, unknown>, runs_on: RunsOn, runner?: string}} ToolExecutingEvent */
/** @typedef {Dated & {type: "tool_progress", tool_id: string, message: string, fraction?: number}} ToolProgressEvent */
/** @typedef {Dated & {type: "tool_result", tool_id: string, content: Content, is_error: boolean, duration_ms: number}} ToolResultEvent */
/** @typedef {Dated & {type: "retry", step: number, attempt: number, delay_seconds: number, code: string, message: string}} RetryEvent */
/** @typedef {Dated & {type: "rewind", block: number}} RewindEvent */
/** @typedef {Dated & {type: "retract", from_turn: string}} RetractEvent */
/** @typedef {Dated & {type: "error", code: string, message: string, retryable: boolean, retry_after_seconds?: number}} ErrorEvent */
/** @typedef {Dated & {type: "done", stop_reason: string, usage: Partial<Counts> & {estimated?: true}, steps: number, duration_ms: number, cost_usd?: number}} DoneEvent */

/** @typedef {ToolApprovalEvent | ToolDecisionEvent | ToolExecutingEvent | ToolProgressEvent | ToolResultEvent} ToolCallEvent */
/** @typedef {ThinkingEvent | TokenEvent | ToolInputEvent} DeltaEvent */

/**
 * An event of a conversation's log. A later minor version may send types that are not listed here.
 * @typedef {MessageEvent | StartEvent | StepEvent | DeltaEvent | ToolStartEvent | BlockStopEvent
 *   | UsageEvent | ToolCallEvent | RetryEvent | RewindEvent | RetractEvent | ErrorEvent | DoneEvent} Event
 */

/** @typedef {{max_frame_bytes: number, max_subscriptions: number, max_running_turns: number, max_commands_per_second: number, max_blob_bytes?: number}} Limits sizes in bytes of UTF-8 */
/** @typedef {{type: "welcome", protocol: string, limits: Limits, models: string[], heartbeat_seconds: number}} Welcome */
/** @typedef {"cancelling" | "queued_removed" | "already_done"} CancelOutcome */
/** @typedef {{type: "ack", id: string, conversation?: string, turn?: string, seq?: number, epoch?: string, after?: number, head?: number, outcome?: CancelOutcome}} Ack */
/** @typedef {{type: "reject", id?: string, code: string, message: string, retryable: boolean, retry_after_seconds?: number}} Reject */
/** @typedef {{type: "pong", id: string}} Pong */
/** @typedef {{type: "reset", conversation: string, epoch: string, reason: string}} Reset */
/** @typedef {{type: "closed", conversation: string, code: string, retryable: boolean}} Closed */
/** @typedef {{type: "going_away", reconnect_after_seconds: number}} GoingAway */
/** @typedef {Ack | Reject | Pong | Reset | Closed | GoingAway} Reply what is said on a connection after `welcome` and is in no log */

/**
 * The options of a turn, as far as the server lets clients choose.
 * @typedef {object} SendOptions
 * @property {string} [model]
 * @property {string} [system]
 * @property {number} [max_tokens]
 * @property {{type: "adaptive" | "enabled" | "disabled", budget_tokens?: number, display?: "summarized" | "omitted"}} [thinking]
 * @property {string[]} [tools] names of the server's tools to offer; absent: all
 * @property {ClientTool[]} [client_tools] to be answered with `toolOutput`, besides the tools of the wire
 * @property {"reject" | "queue" | "interrupt"} [if_busy]
 * @property {string} [retract] a turn: it and all after it become void first
 * @property {"continue" | "cancel"} [on_detach]
 * @property {string} [key] repeating a send with its key attaches to its turn; random unless given
 */

export {};
