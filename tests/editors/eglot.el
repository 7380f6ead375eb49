;;; -*- lexical-binding: t -*-
;; SPDX-License-Identifier: Apache-2.0
;;
;; emacs --batch -q --load eglot.el: Eglot in front of `gantry lsp', in the working folder of
;; tests/integration/lsp_editors.cpp. It prints why, and ends with 1, when anything is not as it should be; with 77 where
;; Eglot is not installed.
(require 'package)
(package-initialize)
(unless (require 'eglot nil t)
  (message "Eglot is not installed")
  (kill-emacs 77))
(require 'flymake)
(require 'json)
(require 'xref)

(defmacro waited (what &rest body)
  `(with-timeout (90 (error "waited in vain for %s" ,what))
     (while (not (progn ,@body)) (accept-process-output nil 0.01))))
(defun text () (buffer-substring-no-properties (point-min) (point-max)))
(defun has (what wanted)
  (unless (string-match-p (regexp-quote wanted) what) (error "%s is not in: %s" wanted what)))
(defun place (line column)
  (goto-char (point-min))
  (forward-line line)
  (forward-char column))
(defun ask (method &rest more)
  (eglot--signal-textDocument/didChange)
  (jsonrpc-request (eglot--current-server-or-lose) method (append (eglot--TextDocumentPositionParams) more) :timeout 90))
(defun hover () (format "%S" (ask :textDocument/hover)))
(defun diagnostics (wanted)
  (waited "diagnostics"
          (flymake-start nil t)
          (let ((now (flymake-diagnostics)))
            (if wanted
                (and (= (length now) 1) (string-match-p (regexp-quote wanted) (flymake-diagnostic-text (car now))))
              (null now)))))

(defun main ()
  (setq eglot-sync-connect t
        eglot-connect-timeout 90
        eglot-confirm-server-initiated-edits nil
        eglot-autoreconnect nil)
  (add-to-list 'eglot-server-programs '((c++-mode) . ("gantry" "lsp")))
  (find-file "a.cpp")
  (apply #'eglot (eglot--guess-contact))
  (let* ((server (eglot--current-server-or-lose))
         (process (jsonrpc--process server))
         ;; Where each editor of several leaves its name, as soon as its text is not the disk's.
         (others (getenv "MEETS_IN")))
    (diagnostics "undeclared identifier 'absent_value'")
    (place 2 9)
    (has (hover) "Adds two numbers")
    (xref-find-definitions (xref-backend-identifier-at-point 'eglot))
    (unless (= (line-number-at-pos) 2) (error "the definition is in line %d" (line-number-at-pos)))
    (unless (= 3 (length (ask :textDocument/references :context '(:includeDeclaration t)))) (error "three references"))

    ;; What nobody saves.
    (place 4 0)
    (delete-region (point) (point-max))
    (insert "/// Only in Eglot.\nint unsaved_name = 7;\nint right = unsaved_;\n")
    (place 6 20)
    (completion-at-point)
    (has (text) "int right = unsaved_name;")
    (eglot--signal-textDocument/didChange)
    (diagnostics nil)
    (place 6 15)
    (has (hover) "Only in Eglot")
    (when others
      (write-region "" nil (expand-file-name "eglot" others))
      (waited "the others" (= (length (directory-files others nil "^[^.]")) (string-to-number (getenv "MEETS"))))
      (has (hover) "Only in Eglot"))

    (place 1 5)
    (eglot-rename "plus")
    (has (text) "int plus(int a, int b)")
    (has (text) "int x = plus(1, 2);")
    (has (text) "auto y = plus(3, 4);")

    ;; A tweak: a command, in which the server asks for the edit.
    (place 3 1)
    (eglot--signal-textDocument/didChange)
    (let* ((actions (eglot-code-actions (point) (point)))
           (action (seq-find (lambda (each) (string-match-p "\\(deduced\\|auto\\) type" (plist-get each :title))) actions))
           (command (plist-get action :command)))
      (unless action (error "no such code action: %S" actions))
      (if (stringp command)
          (eglot-execute-command server (intern command) (plist-get action :arguments))
        (eglot-execute-command server (intern (plist-get command :command)) (plist-get command :arguments))))
    (waited "the tweak" (string-match-p "^int y = plus(3, 4);" (text)))
    (eglot--signal-textDocument/didChange)

    (unless others
      (let* ((json (with-temp-buffer (call-process "gantry" nil '(t nil) nil "call" "lsp.servers") (buffer-string)))
             (pids (delq nil (mapcar (lambda (each) (plist-get each :pid))
                                     (plist-get (json-parse-string json :object-type 'plist) :servers)))))
        (unless (= (length pids) 1) (error "one server, not %S" json))
        (signal-process (car pids) 'SIGKILL))
      (place 6 15)
      (waited "an answer of the next server"
              (string-match-p "Only in Eglot" (condition-case nil (hover) (jsonrpc-error ""))))
      (goto-char (point-max))
      (insert "int again = another_absence;\n")
      (eglot--signal-textDocument/didChange)
      (diagnostics "undeclared identifier 'another_absence'"))

    (eglot-shutdown server nil 90)
    (waited "its end" (not (process-live-p process)))))

(condition-case why
    (main)
  (error (message "%s" (error-message-string why))
         (dolist (buffer (buffer-list))
           (when (string-match-p "EGLOT.*stderr" (buffer-name buffer))
             (message "%s" (with-current-buffer buffer (buffer-string)))))
         (kill-emacs 1)))
(kill-emacs 0)
