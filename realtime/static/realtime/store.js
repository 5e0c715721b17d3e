// What a client holds: the rows of its tasks, their log lines, the broadcasts in their window; and how each
// frame changes that. Several clients may be fed from one connection: each keeps what it wants.

import { isOwn } from "./answers.js";
import { Lines } from "./lines.js";
import { Notices } from "./notices.js";

/** So many rows are kept, or as many as are shown if that is more; and a few that go together. */
const KEPT = 500;
const SPARE = 50;
const FINAL = new Set(["completed", "failed", "cancelled"]);

export class Store {
  /** The id of the user that the server knows us as; null until connected. */
  userId;
  tasks = new Map();
  lines = new Lines();
  notices;
  /** What is wanted: `topics`, and `taskIds` whose end has not come yet. */
  want;
  /** Whether everything wanted has been served at least once, and nothing is missing since. */
  complete = false;

  #tell;
  #cursor = null; // the highest id seen
  #acknowledged = { topics: new Set(), taskIds: new Set() };
  #incoming = null; // the rows of a snapshot until it is complete
  #awaited = null; // what that snapshot is of
  #watched = new Set(); // the tasks whose lines may be missing after it
  #ended = new Set(); // tasks whose final state has come
  #kept = KEPT;
  #clockOffset = 0;
  #handlers = {
    connected: (frame) => this.#know(frame.user_id, this.#offset(frame)),
    task_update: (frame) => this.#taskUpdate(frame),
    task_deleted: (frame) => this.#taskGone(frame),
    task_removed: (frame) => this.#taskGone(frame),
    task_log: (frame) => this.#line(frame),
    topic_event: (frame) => this.want.topics.has(frame.topic) && this.#tell("topic", frame),
    broadcast: (frame) => this.notices.add(frame),
    broadcast_retracted: (frame) => this.notices.remove(frame.broadcast_id),
    subscribed: (frame) => this.#subscribed(frame),
    unsubscribed: (frame) => this.#unsubscribed(frame),
    done: (frame) => this.#done(frame),
    reset: () => this.#begin(this.want),
    ping: (frame) => (this.#clockOffset = this.#offset(frame)),
    error: (frame) => this.#error(frame),
  };

  /** @param {object} want {topics, taskIds}
   *  @param {(name: string, detail: any) => void} tell of what has changed: see the events of `RealtimeClient` */
  constructor(want, userId, tell) {
    this.want = { topics: new Set(want.topics), taskIds: new Set(want.taskIds) };
    this.userId = userId;
    this.#tell = tell;
    this.notices = new Notices(
      () => this.now(),
      () => tell("broadcasts"),
    );
  }

  /** The server's clock, in milliseconds since 1970; ours may be wrong. */
  now() {
    return Date.now() + this.#clockOffset;
  }

  /** What a connection needs to know to go on from here; without a cursor, to start afresh. */
  get report() {
    const { topics, taskIds } = this.#acknowledged;
    return { ...this.want, acknowledged: { topics, taskIds }, cursor: this.complete ? this.#cursor : null };
  }

  /** A snapshot of all that is wanted follows; until it is complete the old rows stay, as old. */
  begin(want, hello) {
    if (hello !== null) this.#know(hello.user_id, hello.clock);
    this.#acknowledged = { topics: new Set(), taskIds: new Set() };
    this.#begin(want);
  }

  /** Take a frame; tell whether it is not the repeat of one. */
  apply(frame) {
    if (frame.id != null) {
      // Another tab was behind us when this connection began; only events come again.
      const event = /^(task_|topic_|broadcast)/.test(frame.type);
      if (event && this.#cursor !== null && frame.id <= this.#cursor) return false;
      this.#cursor = Math.max(frame.id, this.#cursor ?? frame.id);
    }
    this.#handlers[frame.type]?.(frame);
    return true;
  }

  /** Watch a task; tell whether it was not watched before. */
  watch(id) {
    if (this.want.taskIds.has(id) || this.#ended.has(id)) return false;
    this.want.taskIds.add(id);
    return true;
  }

  /** Watch a task no longer. Its row goes, unless a topic has it. */
  unwatch(id) {
    this.#ended.delete(id);
    const watched = this.want.taskIds.delete(id);
    this.#acknowledged.taskIds.delete(id);
    this.lines.byTask.delete(id);
    const row = this.tasks.get(id);
    if (row !== undefined && !this.#inTopic(row) && this.tasks.delete(id)) this.#tell("change", id);
    return watched;
  }

  /** Hold so many rows at least: somebody shows the newest of them. */
  keep(number) {
    this.#kept = Math.max(this.#kept, number);
  }

  /** Follow a topic no longer; tell whether it was followed. */
  unfollow(topic) {
    this.#acknowledged.topics.delete(topic);
    return this.want.topics.delete(topic);
  }

  /** The connection is let go. A snapshot that was cut off is forgotten. */
  cut() {
    this.#incoming = this.#awaited = null;
    this.notices.cut();
  }

  /** These cannot be watched. */
  missing(ids) {
    for (const id of ids) this.#taskGone({ task_id: id });
  }

  /** The tasks of the last snapshot of whose lines some are held; more may have been written before it. */
  get behind() {
    return [...this.#watched].filter((id) => this.lines.byTask.has(id));
  }

  /** Take a line that was asked for over HTTP, as if it had come. */
  addLine(id, line) {
    if (!this.want.taskIds.has(id) && !this.#ended.has(id)) return; // nobody watches it any more
    if (this.lines.add(id, line)) this.#tell("log", { task_id: id, line });
  }

  #begin({ topics, taskIds }) {
    this.complete = false;
    this.#cursor = null;
    this.#incoming = new Map();
    this.#awaited = { topics: new Set(topics), taskIds: new Set(taskIds) };
    this.#watched = new Set(taskIds);
    this.notices.startAfresh();
  }

  #know(userId, clock) {
    this.#clockOffset = clock;
    if (this.userId !== null && this.userId !== userId) this.#forget();
    this.userId = userId;
  }

  /** Somebody else has logged in: nothing of the one before is shown to him. */
  #forget() {
    this.#cursor = null;
    this.complete = false;
    this.tasks = new Map();
    this.lines.byTask.clear();
    this.#ended.clear();
    this.notices.clear();
    this.#tell("snapshot");
  }

  #inTopic({ owner, task_id: id }) {
    if (this.want.topics.has("tasks")) return true;
    if (!this.want.topics.has("mine")) return false;
    const before = (this.#incoming ?? this.tasks).get(id)?.owner;
    return this.userId === null || [owner, before].some((one) => String(one) === this.userId);
  }

  #taskUpdate({ task_id: id, data, snapshot = false }) {
    if (!this.want.taskIds.has(id) && !this.#inTopic(data)) return;
    const rows = this.#incoming ?? this.tasks;
    const held = rows.get(id)?.version;
    if (held > data.version || (held === data.version && snapshot)) return;
    rows.set(id, data);
    if (rows !== this.tasks) return;
    this.#tell("change", id);
    this.#bound();
  }

  /** Of too many rows some go: those that ended first, then the oldest; never one that is watched by its id. */
  #bound() {
    if (this.tasks.size <= this.#kept + SPARE) return;
    const loose = [...this.tasks.values()].filter(({ task_id: id }) => !this.want.taskIds.has(id) && !this.#ended.has(id));
    const weight = ({ status }) => (FINAL.has(status) ? 0 : 1);
    const since = (row) => Date.parse(row.finished_at ?? row.created_at);
    loose.sort((a, b) => weight(a) - weight(b) || since(a) - since(b));
    for (const { task_id: id } of loose.slice(0, this.tasks.size - this.#kept)) {
      this.tasks.delete(id);
      this.#tell("dropped", id);
    }
  }

  /** It may be shown by somebody for whom it is held no longer. */
  #taskGone({ task_id: id }) {
    this.want.taskIds.delete(id);
    this.#acknowledged.taskIds.delete(id);
    this.#awaited?.taskIds.delete(id);
    this.#ended.delete(id);
    this.#incoming?.delete(id);
    this.lines.byTask.delete(id);
    this.tasks.delete(id);
    this.#tell("change", id);
  }

  #line({ task_id: id, data, timestamp }) {
    this.addLine(id, { timestamp, ...data });
  }

  #subscribed({ topics, task_ids: ids }) {
    for (const topic of topics) if (this.want.topics.has(topic)) this.#acknowledged.topics.add(topic);
    for (const id of ids) if (this.want.taskIds.has(id)) this.#acknowledged.taskIds.add(id);
    if (this.#awaited === null) return;
    // It may be another tab's: ours names all that was asked for us.
    const served = [...this.#awaited.topics].every((topic) => topics.includes(topic));
    if (!served || ![...this.#awaited.taskIds].every((id) => ids.includes(id))) return;
    for (const id of this.#ended) {
      if (!this.#incoming.has(id) && this.tasks.has(id)) this.#incoming.set(id, this.tasks.get(id));
    }
    this.tasks = this.#incoming;
    this.#incoming = this.#awaited = null;
    this.complete = true;
    this.#tell("snapshot");
    this.notices.complete();
  }

  /** With a reason it is the server's decision; else it is of what no tab wants any more. */
  #unsubscribed({ reason, task_ids: ids = [], topics = [] }) {
    if (reason === undefined) return;
    for (const id of ids) this.#taskGone({ task_id: id });
    for (const topic of topics) this.#topicGone(topic);
  }

  #error({ code, task_id: task, topic }) {
    if (code === "not_found" && task !== undefined) this.#taskGone({ task_id: task });
    if (topic !== undefined && isOwn(topic)) this.#topicGone(topic);
  }

  /** A topic that this user may not see, or not any more. */
  #topicGone(topic) {
    const wanted = isOwn(topic) && this.want.topics.delete(topic);
    this.#acknowledged.topics.delete(topic);
    if (!wanted) return;
    this.#awaited?.topics.delete(topic);
    this.#tell("topic-end", { topic });
  }

  /** The final state of a task has come: its row stays, its subscription is over. */
  #done({ task_id: id }) {
    this.#acknowledged.taskIds.delete(id);
    this.#awaited?.taskIds.delete(id);
    if (this.want.taskIds.delete(id)) this.#ended.add(id);
  }

  #offset({ timestamp }) {
    return Date.parse(timestamp) - Date.now();
  }
}
