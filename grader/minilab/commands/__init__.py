"""The commands of `lab`, by who uses them: learners, authors, instructors."""
