-- SPDX-License-Identifier: Apache-2.0
-- A Busted output handler: the plain terminal's, plus what spec/run.lua says at the end, as JSON
-- in the file that `-Xoutput` names: the counts, and of each failure its name, its words and what
-- its processes said last. While tests run the file has the name of the one that does, for a run
-- that does not come to its end.
local cjson = require "cjson"

local function write(path, value)
  local file = assert(io.open(path, "w"))
  file:write(cjson.encode(value))
  file:close()
end

--- What the processes of the spec said last, if it has any.
local function log_tail()
  local process = package.loaded["support.process"]
  return process and process.tail() or ""
end

--- The words of an assertion or an error, wherever they are.
local function words(message)
  if type(message) == "table" then message = message.message or "an error that is a table" end
  return tostring(message)
end

return function(options)
  local busted = require "busted"
  local path = table.remove(options.arguments, 1)
  local handler = require "busted.outputHandlers.utfTerminal"(options)
  local failures = {}
  local function note(element, _, message, trace)
    failures[#failures + 1] = {
      name = handler.getFullName(element),
      at = trace and (trace.traceback or ""):match "[^%s]+_spec%.lua:%d+",
      message = words(message), log = log_tail(),
    }
    return nil, true
  end
  busted.subscribe({ "failure" }, note)
  busted.subscribe({ "error" }, note)
  busted.subscribe({ "test", "start" }, function(element)
    write(path, { running = handler.getFullName(element), passed = handler.successesCount })
    return nil, true
  end)
  busted.subscribe({ "suite", "end" }, function()
    write(path, {
      passed = handler.successesCount,
      failed = handler.failuresCount + handler.errorsCount,
      failures = failures,
    })
    return nil, true
  end)
  return handler
end
