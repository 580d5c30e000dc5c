-- SPDX-License-Identifier: Apache-2.0
-- A Busted output handler: the plain terminal's, plus the counts and the names of what failed
-- as JSON in the file that `-Xoutput` names, for spec/run.lua to add up.
local cjson = require "cjson"

local function names(handler)
  local out = {}
  for _, list in ipairs { handler.failures, handler.errors } do
    for _, failure in ipairs(list) do out[#out + 1] = failure.name or "outside of a test" end
  end
  return out
end

return function(options)
  local busted = require "busted"
  local path = table.remove(options.arguments, 1)
  local handler = require "busted.outputHandlers.utfTerminal"(options)
  busted.subscribe({ "suite", "end" }, function()
    local file = assert(io.open(path, "w"))
    file:write(cjson.encode {
      passed = handler.successesCount,
      failed = handler.failuresCount + handler.errorsCount,
      names = names(handler),
    })
    file:close()
    return nil, true
  end)
  return handler
end
