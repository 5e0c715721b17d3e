// What several tabs want, on one connection. It relays every frame to all of them; each tab runs the same
// reducer (store.js) on all frames and keeps what it wants. One that joins gets a snapshot of its own:
// its subscribe is the only one under way, so whatever comes until its `subscribed` completes it.

import { isOwn } from "./answers.js";
import { Connection } from "./connection.js";

/** Errors that a later subscribe need not meet. */
const PASSING = new Set(["unavailable", "rate_limited", "too_many_pending"]);

const AGAIN_MS = 1_000;

export class Exchange {
  #post;
  #options;
  #connection = null;
  #members = new Map(); // by tab: {topics, taskIds, fresh: it waits for a snapshot, again: for another after it}
  #acknowledged = { topics: new Set(), taskIds: new Set() };
  #cursor = null; // the highest id seen; null: nothing to resume from
  #request = null; // the subscribe under way
  #requests = 0;
  #ready = false; // the first subscribe of this connection has been served
  #hello = null; // {user_id, heartbeat, clock}: whom the server knows us as, and how far its clock is ahead
  #line = null; // the connection's last state
  #later = null;

  /** @param {(message: object) => void} post gives a message to every tab, this one first
   *  @param {object} options those of `Connection`, without `on` */
  constructor(post, options) {
    this.#post = post;
    this.#options = options;
  }

  /**
   * Connect for the tabs that have said what they want: {tab, topics, taskIds, acknowledged, cursor}.
   *
   * Those with a cursor go on from the lowest of them; what one has seen already, it drops by its id.
   */
  start(reports) {
    for (const report of reports) this.#admit(report, report.cursor === null);
    const resuming = reports.filter(({ cursor }) => cursor !== null);
    for (const { tab, acknowledged } of resuming) {
      for (const topic of acknowledged.topics) this.#acknowledged.topics.add(topic);
      for (const id of acknowledged.taskIds) this.#acknowledged.taskIds.add(id);
      this.#post({ kind: "welcome", tab, line: null });
    }
    if (resuming.length > 0) this.#cursor = Math.min(...resuming.map(({ cursor }) => cursor));
    this.#connection = new Connection({
      ...this.#options,
      wasLive: resuming.length > 0,
      on: {
        plan: (adds) => this.#plan(adds),
        frame: (frame) => this.#receive(frame),
        state: (line) => this.#state(line),
      },
    });
    this.#connection.start();
  }

  stop() {
    clearTimeout(this.#later);
    this.#connection?.stop();
    this.#members.clear();
  }

  wake() {
    this.#connection?.wake();
  }

  /** A tab says what it wants, for the first time or because that has changed. */
  want(report) {
    const known = this.#members.get(report.tab);
    if (known === undefined) {
      this.#admit(report, true);
    } else {
      // What it holds of a topic that it left would be old: it begins again.
      const again = [...report.topics].some((topic) => !known.topics.has(topic));
      Object.assign(known, { topics: new Set(report.topics), taskIds: new Set(report.taskIds) });
      known.again ||= again && known.fresh;
      known.fresh ||= again;
    }
    this.#serve();
  }

  has(tab) {
    return this.#members.has(tab);
  }

  leave(tab) {
    if (this.#members.delete(tab)) this.#serve();
  }

  #admit({ tab, topics, taskIds }, fresh) {
    this.#members.set(tab, { tab, topics: new Set(topics), taskIds: new Set(taskIds), fresh, again: false });
  }

  #state(line) {
    this.#line = line;
    if (line.state !== "live" && line.state !== "catching-up") {
      this.#ready = false;
      this.#request = null;
    }
    this.#post({ kind: "state", line });
  }

  /** The first subscribe of a connection: resume, or else afresh. One that cannot add must name everything. */
  #plan(adds) {
    this.#ready = false;
    const waiting = [...this.#members.values()].filter((member) => this.#waits(member));
    if (this.#cursor !== null && (adds || waiting.length === 0)) {
      return this.#ask([], this.#acknowledged.topics, this.#acknowledged.taskIds, this.#cursor);
    }
    this.#forget();
    return this.#askFor([...this.#members.values()].slice(0, adds ? 1 : undefined));
  }

  /** Nothing can be resumed: every tab gets a new snapshot. */
  #forget() {
    this.#cursor = null;
    this.#acknowledged = { topics: new Set(), taskIds: new Set() };
    for (const member of this.#members.values()) member.fresh = true;
  }

  #waits({ fresh, taskIds }) {
    return fresh || [...taskIds].some((id) => !this.#acknowledged.taskIds.has(id));
  }

  /** The subscribe for members, of whom each that is fresh gets a snapshot of all it wants. */
  #askFor(members) {
    const topics = new Set();
    const ids = new Set();
    if (members.length === 0) topics.add("broadcasts");
    for (const member of members) {
      if (member.fresh) {
        this.#post({
          ...{ kind: "begin", tab: member.tab, hello: this.#hello, line: this.#line },
          want: { topics: member.topics, taskIds: member.taskIds },
        });
        for (const topic of ["broadcasts", ...member.topics]) topics.add(topic);
      }
      for (const id of member.taskIds) if (member.fresh || !this.#acknowledged.taskIds.has(id)) ids.add(id);
    }
    return this.#ask(members, topics, ids);
  }

  #ask(members, topics, ids, after) {
    const id = `subscribe-${(this.#requests += 1)}`;
    this.#request = { id, members, left: topics.size === 0 ? new Set(ids) : null };
    const all = after === undefined ? topics : new Set(["broadcasts", ...topics]);
    return { request_id: id, topics: [...all], task_ids: [...ids], after };
  }

  /** Subscribe what somebody still waits for, one tab after the other; leave what nobody wants any more. */
  #serve() {
    if (!this.#ready || this.#request !== null) return;
    this.#leaveUnwanted();
    const waiting = [...this.#members.values()].find((member) => this.#waits(member));
    if (waiting === undefined) return;
    if (!this.#connection.adds) return this.#connection.replace();
    this.#connection.send({ action: "subscribe", ...this.#askFor([waiting]) });
  }

  #leaveUnwanted() {
    const unwanted = (kind) => {
      const wanted = new Set([...this.#members.values()].flatMap((member) => [...member[kind]]));
      const found = [...this.#acknowledged[kind]].filter((one) => !wanted.has(one) && one !== "broadcasts");
      for (const one of found) this.#acknowledged[kind].delete(one);
      return found;
    };
    const [topics, ids] = [unwanted("topics"), unwanted("taskIds")];
    if (topics.length + ids.length === 0 || !this.#connection.adds) return;
    this.#connection.send({ action: "unsubscribe", topics, task_ids: ids });
  }

  #receive(frame) {
    if (frame.id != null) this.#cursor = Math.max(frame.id, this.#cursor ?? frame.id);
    if (frame.type === "connected") this.#greet(frame);
    if (frame.type === "ping") this.#hello = { ...this.#hello, clock: Date.parse(frame.timestamp) - Date.now() };
    if (frame.type === "reset") this.#reset();
    if (frame.type === "unsubscribed" || frame.type === "done") this.#over(frame);
    this.#post({ kind: "frame", frame });
    if (frame.type === "subscribed") this.#subscribed(frame);
    if (frame.type === "error") this.#error(frame);
  }

  #greet(frame) {
    const other = this.#hello !== null && this.#hello.user_id !== frame.user_id;
    const clock = Date.parse(frame.timestamp) - Date.now();
    this.#hello = { user_id: frame.user_id, heartbeat: frame.heartbeat_interval, clock };
    if (other) this.#forget(); // somebody else has logged in: nothing of the one before goes on
  }

  #reset() {
    this.#cursor = null;
    this.#connection.setCurrent(false);
  }

  /** These are served no longer; nobody may be left waiting for them. */
  #over({ type, reason, task_id: one, task_ids: ids = [], topics = [] }) {
    if (type === "unsubscribed" && reason === undefined) return; // we asked for it
    for (const id of one === undefined ? ids : [one]) this.#drop(id);
    for (const topic of topics) this.#leaveTopic(topic);
  }

  /** Nobody is served it any more; of the site's own, nobody asks again. */
  #leaveTopic(topic) {
    this.#acknowledged.topics.delete(topic);
    if (isOwn(topic)) for (const member of this.#members.values()) member.topics.delete(topic);
  }

  #drop(id) {
    this.#acknowledged.taskIds.delete(id);
    for (const member of this.#members.values()) member.taskIds.delete(id);
  }

  #subscribed({ request_id: id, topics, task_ids: ids }) {
    for (const topic of topics) this.#acknowledged.topics.add(topic);
    for (const task of ids) this.#acknowledged.taskIds.add(task);
    if (id !== undefined && id === this.#request?.id) this.#served();
    // A stream's URL has no request_id.
    else if (id === undefined && this.#request !== null && !this.#connection.adds) this.#served();
    else if (this.#ready) this.#connection.setCurrent(true); // the end of a reset
  }

  #served() {
    for (const member of this.#request.members) {
      member.fresh = member.again;
      member.again = false;
    }
    this.#request = null;
    this.#ready = true;
    this.#connection.setCurrent(true);
    this.#serve();
  }

  #error(problem) {
    const { code, task_id: task, topic, request_id: id } = problem;
    if (topic !== undefined && isOwn(topic)) return this.#leaveTopic(topic);
    if (code === "not_found" && task !== undefined) return this.#missing(task);
    if (id === undefined || id !== this.#request?.id) return;
    if (!PASSING.has(code)) return this.#refused(problem);
    if (!this.#ready) return this.#connection.fail(problem);
    this.#request = null; // the connection is fine: many tabs may just have come at once
    this.#later = setTimeout(() => this.#serve(), AGAIN_MS);
  }

  #missing(task) {
    this.#drop(task);
    if (!this.#request?.left?.delete(task) || this.#request.left.size > 0) return;
    this.#request = null; // nothing was left to acknowledge
    this.#serve();
  }

  /** One tab wants what it may not have: the others go on without it. */
  #refused(problem) {
    const { members, left } = this.#request;
    const all = members.length === 0 || this.#members.size === members.length;
    if (all && left === null) return this.#connection.refuse(problem);
    this.#request = null;
    for (const { tab } of members) {
      this.#post({ kind: "refused", tab, problem, taskIds: left });
      if (left === null) this.#members.delete(tab);
      else for (const id of left) this.#members.get(tab)?.taskIds.delete(id);
    }
    this.#ready = true;
    this.#serve();
  }
}
