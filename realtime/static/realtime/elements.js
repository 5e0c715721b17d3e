// Defines the elements. `{% realtime_scripts %}` loads this; any other module can import what it needs of it.

import { BroadcastBanner } from "./broadcast-banner.js";
import { ConnectionStatus } from "./connection-status.js";
import { getClient } from "./page.js";
import { TaskList } from "./task-list.js";
import { TaskProgress } from "./task-progress.js";

const ELEMENTS = {
  "broadcast-banner": BroadcastBanner,
  "connection-status": ConnectionStatus,
  "task-progress": TaskProgress,
  "task-list": TaskList,
};

for (const [name, element] of Object.entries(ELEMENTS)) {
  if (customElements.get(name) === undefined) customElements.define(name, element);
}

export { BroadcastBanner, ConnectionStatus, TaskList, TaskProgress, getClient };
